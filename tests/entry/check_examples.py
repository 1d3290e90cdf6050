#!/usr/bin/python3
"""Runs the pages of docs/examples as a reader would and compares what they show.

Usage: check_examples.py TANDEM [--print]. Blocks ```LANGUAGE PATH are files to write into a fresh
folder that holds hw_configs and workloads; blocks ```console are commands (after "$ tandem") with
their output. A line "..." stands for any further lines, the others must come in their order.
Figures may differ, since they move with the constants of the model; words and their number may not.
--print shows what the commands print.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def form(line):
    """A line without its figures and the width of its columns."""
    return re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", " ".join(line.split()))


def agrees(actual, shown):
    """Whether the lines are the shown ones, with gaps where "..." stands."""
    if not shown:
        return not actual
    if shown[0] == "...":
        return any(agrees(actual[skip:], shown[1:]) for skip in range(len(actual) + 1))
    return bool(actual) and form(actual[0]) == form(shown[0]) and agrees(actual[1:], shown[1:])


def run_page(tandem, page, prints):
    """Complaints about one page, as text."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copytree(ROOT / "hw_configs", folder / "hw_configs")
        # Pages write scenarios of their own: copies, but for what is large.
        shutil.copytree(ROOT / "workloads", folder / "workloads",
                        ignore=shutil.ignore_patterns("checkpoints"))
        (folder / "workloads" / "checkpoints").symlink_to(ROOT / "workloads" / "checkpoints")
        commands = 0
        for language, path, text in BLOCK.findall(page.read_text()):
            if path:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            elif language == "console":
                first, *shown = text.splitlines()
                arguments = shlex.split(first.removeprefix("$ tandem "))
                done = subprocess.run([tandem, *arguments], cwd=folder, capture_output=True,
                                      text=True, check=False, timeout=120,
                                      env={**os.environ, "TANDEM_HOME": name})
                commands += 1
                if prints:
                    print(f"{first}\n{done.stdout}{done.stderr}")
                if done.returncode != 0:
                    yield f"{first}: exit code {done.returncode}: {done.stderr}"
                elif not agrees(done.stdout.splitlines(), shown):
                    yield f"{first}: prints\n{done.stdout}"
        if not commands:
            yield "no command on the page"


def main():
    failed = False
    for page in sorted((ROOT / "docs" / "examples").glob("*.md")):
        for complaint in run_page(sys.argv[1], page, "--print" in sys.argv):
            print(f"{page.name}: {complaint}")
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
