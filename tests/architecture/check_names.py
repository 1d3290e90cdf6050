#!/usr/bin/python3
"""Helpers of one room have names of their own.

Builds that compile several files at a time (cmake/TandemUnity.cmake) put the anonymous namespaces of
a room together, so a name that two files define there is an error in them. Two files that need the
same helper share it in a header; helpers that only sound alike get names that tell them apart. Of
functions only those with the same parameters clash, of aliases those that mean different types. Run
from anywhere; prints every clash and exits 1 if there is one.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

ANONYMOUS = re.compile(r"^namespace \{\n(.*?)^\}  // namespace$", re.DOTALL | re.MULTILINE)
NAMESPACE = re.compile(r"^namespace ([\w:]+) \{$", re.MULTILINE)
TEXT = re.compile(r'R"(\w*)\(.*?\)\1"|//(?! namespace)[^\n]*', re.DOTALL)
TYPE = re.compile(r"(?:struct|class|union|enum(?: class)?) (\w+)[^;(]*?\{")
ALIAS = re.compile(r"using (\w+) =(.*)")
FUNCTION = re.compile(r"(?<![\w.:])(\w+)\(([^{;]*)")
CONSTANT = re.compile(r"(?:constexpr|const|inline|static)\b.*?\b(\w+)(?:\[\w*\])?(?: =|\{|;|$)")
SKIPPED = ("using namespace", "namespace", "static_assert", "template", "TEST", "INSTANTIATE")


def parameters_of(text):
    """Types of a parameter list, without their names, as one string."""
    depth, parts, part = 0, [], ""
    for character in text:
        if character in "<([":
            depth += 1
        if character in ">)]":
            if depth == 0:
                break
            depth -= 1
        if character == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += character
    parts.append(part)
    return ", ".join(re.sub(r"\s*=.*", "", part).strip().rsplit(" ", 1)[0] for part in parts)


def definition_in(statement):
    """What a statement of a namespace defines: its name, with what tells overloads apart, and the
    meaning that may be repeated; or None."""
    if statement.startswith(SKIPPED) or re.match(r"using [\w:]+;", statement):
        return None
    if match := TYPE.match(statement):
        return match.group(1), None
    if match := ALIAS.match(statement):
        return match.groups()
    head = statement.split("{")[0].split(" = ")[0]
    if match := FUNCTION.search(head):
        return f"{match.group(1)}({parameters_of(match.group(2))})", None
    match = CONSTANT.match(statement)
    return (match.group(1), None) if match else None


def definitions_of(path):
    """What the anonymous namespaces of a file define, as (name, meaning)."""
    text = TEXT.sub("", path.read_text())
    scope = NAMESPACE.search(text)
    prefix = f"{scope.group(1)}::" if scope else ""
    for block in ANONYMOUS.finditer(text):
        for statement in re.split(r"\n(?=[^\s}#)])", block.group(1)):
            defined = definition_in(" ".join(statement.split()))
            if defined:
                yield prefix + defined[0], defined[1] or path


def clashes_in(room):
    """Names with the files of `room` that each define them, where there are several."""
    owners, meanings = collections.defaultdict(list), collections.defaultdict(set)
    for path in sorted(room.rglob("*.cpp")):
        for name, meaning in definitions_of(path):
            owners[name].append(str(path.relative_to(ROOT)))
            meanings[name].add(meaning)
    return {name: files for name, files in owners.items() if len(meanings[name]) > 1}


def main():
    rooms = sorted(p for top in ("sim", "models", "tests") for p in (ROOT / top).iterdir() if p.is_dir())
    clashes = [(name, files) for room in rooms for name, files in clashes_in(room).items()]
    for name, files in clashes:
        print(f"{name} is defined in {', '.join(files)}")
    print(f"{len(rooms)} rooms checked, {len(clashes)} names defined twice")
    return 1 if clashes or not rooms else 0


if __name__ == "__main__":
    sys.exit(main())
