#!/usr/bin/python3
"""Runs the commands of README.md in order, as somebody who copies them line by line.

Usage: check_readme.py TANDEM. Runs are cut to eight requests and texts to sixteen tokens; commands
below `LEFT_OUT` take long or need files of the reader's own. Exit code 1 when one fails.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Beginnings of commands, and what runs them instead.
LEFT_OUT = {
    "generate SCENARIO": "a checkpoint of the reader's own; system_tests",
    "capacity": "half a minute; the quickstart and check_examples.py",
    "sweep": "half a minute; check_sweeps.py",
    "check": "scripts/test.sh",
    "validate": "measured tables; validate_tests",
    "lpu fit": "--compiled takes a minute; lpu_fit_test.cpp",
    "describe path": "a configuration of the reader's own; hugging_face_test.cpp",
}
GEMM = "m,n,k,dtype\n64,4096,4096,bfloat16\n"
ALL_REDUCE = "ranks,bytes,dtype\n8,1048576,bfloat16\n"


def commands():
    for block in BLOCK.findall((ROOT / "README.md").read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.split(" && "):
                if command.startswith("tandem "):
                    yield shlex.split(command, comments=True)[1:]


def shortened(words):
    words = ["16" if before == "--tokens" else word for before, word in zip(["", *words], words)]
    return [*words, "--set", "traffic.requests=8"] if words[0] == "run" else words


def prepare(folder):
    for name in ("hw_configs", "workloads"):
        (folder / name).symlink_to(ROOT / name)


def main():
    ran, failures, used = 0, 0, set()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(folder)
        for words in commands():
            text = " ".join(words)
            reasons = [start for start in LEFT_OUT if text.startswith(start)]
            used.update(reasons)
            if reasons:
                continue
            (folder / "in.csv").write_text(ALL_REDUCE if words[0] == "collectives" else GEMM)
            done = subprocess.run([sys.argv[1], *shortened(words)], cwd=folder, check=False,
                                  capture_output=True, text=True, timeout=120,
                                  env={**os.environ, "TANDEM_HOME": name,
                                       "XDG_CACHE_HOME": str(folder / "cache")})
            ran += 1
            if done.returncode != 0:
                print(f"tandem {text}: exit code {done.returncode}: {done.stderr}")
                failures += 1
    for start in set(LEFT_OUT) - used:
        print(f"check_readme.py leaves out 'tandem {start}', which README.md does not show")
        failures += 1
    print(f"{ran} commands of README.md, {failures} complaints")
    return 1 if failures or ran < 15 else 0


if __name__ == "__main__":
    sys.exit(main())
