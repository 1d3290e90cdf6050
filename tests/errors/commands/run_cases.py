#!/usr/bin/python3
"""Runs the tandem executable on broken input and compares what it says.

Usage: run_cases.py TANDEM. Every case of cases.json gives the arguments ({dir} is this folder, {tmp}
a fresh folder), files to make first (hexadecimal bytes) and the expected lines on standard error in
order; a line that ends in '*' fixes only its beginning, a lone '*' stands for any further lines.
Exit code 2, an empty standard output and no files left behind are expected of all of them.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def agrees(actual, expected):
    """Whether the lines on standard error are the expected ones."""
    if expected[-1:] == ["*"]:
        expected = expected[:-1]
        actual = actual[:len(expected)]
    return len(actual) == len(expected) and all(
        line.startswith(want[:-1]) if want.endswith("*") else line == want
        for line, want in zip(actual, expected))


def run_case(tandem, case):
    """Complaints about one case, as text; empty when it behaves."""
    with tempfile.TemporaryDirectory() as folder:
        names = {"dir": str(HERE), "tmp": folder}
        for name, content in case.get("make", {}).items():
            pathlib.Path(folder, name).write_bytes(bytes.fromhex(content))
        arguments = [argument.format(**names) for argument in case["args"]]
        done = subprocess.run([tandem, *arguments], capture_output=True, text=True, timeout=120,
                              check=False, cwd=ROOT)
        expected = [line.format(**names) for line in case["stderr"]]
        actual = done.stderr.splitlines()
        if done.returncode != 2:
            yield f"exit code {done.returncode}, not 2"
        if done.stdout:
            yield f"standard output is not empty: {done.stdout[:200]!r}"
        if not agrees(actual, expected):
            yield "standard error is\n    " + "\n    ".join(actual)
            yield "expected\n    " + "\n    ".join(expected)
        written = sorted(p.name for p in pathlib.Path(folder).iterdir()
                         if p.name not in case.get("make", {}))
        if written:
            yield f"left behind {written}"


def main():
    tandem = sys.argv[1]
    cases = json.loads((HERE / "cases.json").read_text())
    failures = 0
    for case in cases:
        complaints = list(run_case(tandem, case))
        failures += bool(complaints)
        for complaint in complaints:
            print(f"{case['name']}: {complaint}")
    print(f"{len(cases) - failures} passed, {failures} failed")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
