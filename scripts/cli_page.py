#!/usr/bin/python3
"""Writes docs/cli.md: every command with its options, as `--help` prints them.

cli_page.py TANDEM [--check]; --check compares and writes nothing.
"""

import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "cli.md"
HEAD = """# Commands

Written by `scripts/cli_page.py` from `--help`; a test compares. Exit codes: 0 good, 1 a check failed, 2 the input is wrong (all errors at once, with file, line and column), 3 a fault of the program. `-` as a file is standard output. `source <(tandem completion bash)` completes commands, options and names in bash.
"""


def help_of(program, path):
    return subprocess.run([program, *path, "--help"], check=True, capture_output=True, text=True,
                          timeout=60).stdout


def subcommands(text):
    tail = text.partition("Subcommands:\n")[2]
    return re.findall(r"^  (\w+)", tail, re.MULTILINE)


def sections(program, path=()):
    text = help_of(program, path)
    if path:
        yield f"\n## tandem {' '.join(path)}\n\n```\n{text.strip()}\n```\n"
    for name in subcommands(text):
        yield from sections(program, (*path, name))


def main():
    program, *rest = sys.argv[1:]
    page = HEAD + "".join(sections(program))
    page = re.sub(r"[^\s\"]*/\.cache/tandem", "~/.cache/tandem", page)
    if "--check" not in rest:
        PAGE.write_text(page)
    elif PAGE.read_text() != page:
        sys.exit("docs/cli.md is not what --help says; run scripts/cli_page.py TANDEM")


if __name__ == "__main__":
    main()
