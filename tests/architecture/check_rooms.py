#!/usr/bin/python3
"""Enforces the house: which room may include which, and how long a source file may be.

A room may include only rooms above it in ENGINE. Hardware models may include engine rooms up to
sim/kernel and, among each other, only what MODEL_EXTRA lists. Third-party headers that belong to
one room stay there (OWNERS). Run from anywhere; prints every violation and exits 1 if there is one.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

ENGINE = ["core", "numerics", "describe", "config", "graph", "lower", "kernel",
          "step", "service", "account", "report", "entry"]
# The engine sees chips and links only through sim/lower; sim/entry hands it the catalogue.
ENGINE_MODELS = {"entry": {"catalog", "hbm", "gpu", "lpu", "link"}}
MODEL_LIMIT = ENGINE.index("kernel")
MODEL_EXTRA = {"gpu": {"hbm"}, "catalog": {"hbm", "gpu", "lpu", "link"}}
OWNERS = {"yaml-cpp/": {"sim/config"}, "boost/graph": {"sim/graph"}, "sqlite3.h": {"sim/entry"},
          "pybind11/": {"sim/entry"}, "CLI/": {"sim/entry"}}
MAX_LINES = 400

INCLUDE = re.compile(r'^\s*#include\s+[<"]([^>"]+)[>"]')


def room_of(path):
    """The room a file lives in, such as "sim/core", or None outside the house."""
    parts = path.parts
    return "/".join(parts[:2]) if parts[0] in ("sim", "models") and len(parts) > 2 else None


def is_allowed(room, target):
    """Whether a file in `room` may include a header of room `target`."""
    if room == target:
        return True
    kind, name = room.split("/")
    target_kind, target_name = target.split("/")
    if kind == "sim" and target_kind == "sim":
        return ENGINE.index(target_name) < ENGINE.index(name)
    if kind == "sim":
        return target_name in ENGINE_MODELS.get(name, set())
    if target_kind == "sim":
        return ENGINE.index(target_name) <= MODEL_LIMIT
    return target_name in MODEL_EXTRA.get(name, set())


def violations_in(path):
    """All complaints about one source file, as text."""
    relative = path.relative_to(ROOT)
    room = room_of(relative)
    lines = path.read_text().splitlines()
    if len(lines) > MAX_LINES:
        yield f"{relative}: {len(lines)} lines; at most {MAX_LINES}"
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1)
        for prefix, owners in OWNERS.items():
            if header.startswith(prefix) and room not in owners:
                yield f"{relative}:{number}: <{header}> belongs to {', '.join(sorted(owners))}"
        target = room_of(pathlib.PurePosixPath(header))
        if target and not is_allowed(room, target):
            yield f"{relative}:{number}: {room} may not include {target}"


def main():
    sources = sorted(p for folder in ("sim", "models") for p in (ROOT / folder).rglob("*.[ch]pp"))
    complaints = [complaint for path in sources for complaint in violations_in(path)]
    for complaint in complaints:
        print(complaint)
    print(f"{len(sources)} files checked, {len(complaints)} violations")
    return 1 if complaints or not sources else 0


if __name__ == "__main__":
    sys.exit(main())
