#!/usr/bin/python3
"""The accuracy gate: errors against measurements may not grow by more than the tolerances below.

    accuracy.py check     compares with tests/accuracy/baseline.json; exits 1 if an error grew or a
                          table has no baseline
    accuracy.py update    writes today's errors as the new baseline; where one rises it wants
                          --reason TEXT, which stays in the baseline's history
    accuracy.py quote     draws the committed rows (tests/accuracy/quoted) from the measured tables

Two sets of rows: the committed ones, at most twenty per family, which are always there; and samples
of the measured tables under $TANDEM_DATA (else ../shared/data), where that folder exists.
"""

import argparse
import csv
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import accuracy_families as families

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "accuracy"
DATA = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))
SAMPLE = {"rows": 30, "seed": 11}
QUOTED_ROWS = 20
# Points by which a figure may grow. On twenty to thirty rows p90 is the error of two or three, so
# it moves more than the means.
LIMITS = {"mape": 0.5, "bias": 1.0, "p90": 2.0}
PARTS = ("quoted", "samples")


def figures(tandem, folder, sample=None):
    """MAPE, bias, p90 and predicted rows of every table, element type and metric that `tandem
    validate` predicts, by name."""
    command = [tandem, "validate", "--data", str(folder)]
    if sample:
        command += ["--sample", str(sample["rows"]), "--seed", str(sample["seed"])]
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "out.json"
        subprocess.run([*command, "--json", str(out)], check=True, stdout=subprocess.DEVNULL)
        tables = json.loads(out.read_text())["tables"]
    return {"/".join((t["table"], t["dtype"] or "-", t["metric"])):
                {"mape": round(t["mape_percent"], 2), "bias": round(t["bias_percent"], 2),
                 "p90": round(t["p90_ape_percent"], 2), "rows": t["predicted_rows"]}
            for t in tables if t["table"] and t["predicted_rows"]}


def by_family(tables):
    """Figures per family: means over its rows (of p90: of its tables' p90, by rows)."""
    members = {}
    for name, figure in tables.items():
        members.setdefault(name.split(".")[0], []).append(figure)
    families_of = {}
    for family, parts in sorted(members.items()):
        rows = sum(part["rows"] for part in parts)
        families_of[family] = {"rows": rows, **{
            key: round(sum(part[key] * part["rows"] for part in parts) / rows, 2)
            for key in LIMITS}}
    return families_of


def measure(tandem):
    """Today's figures of both sets; the second only where the measured tables are."""
    today = {"quoted": by_family(figures(tandem, FOLDER / "quoted"))}
    if (DATA / "manifest.yaml").exists():
        today["samples"] = figures(tandem, DATA, SAMPLE)
    return today


def growths(old, new):
    """Figures of one entry that grew by more than their limit."""
    for key, limit in LIMITS.items():
        if key in old and abs(new[key]) > abs(old[key]) + limit + 1e-9:
            yield f"{key} {old[key]:.2f} % -> {new[key]:.2f} %"


def ungated(before, today):
    """Figures that are compared with nothing: the baseline is older than they are."""
    return sum(key not in old for part in today for name, old in before.get(part, {}).items()
               if name in today[part] for key in LIMITS)


def complaints(before, today):
    """What grew, what is no longer predicted, and which tables have no baseline."""
    for part in PARTS:
        if part not in today:
            print(f"{part}: the measured tables are not here; skipped")
            continue
        known = before.get(part, {})
        for name in sorted(today[part].keys() - known.keys()):
            yield f"{part} {name}: has no baseline; run update"
        for name, old in known.items():
            new = today[part].get(name)
            if new is None or new["rows"] < old["rows"]:
                yield f"{part} {name}: {new['rows'] if new else 0} of {old['rows']} rows predicted"
                continue
            for growth in growths(old, new):
                yield f"{part} {name}: {growth}"


def check(tandem):
    before = json.loads((FOLDER / "baseline.json").read_text())
    today = measure(tandem)
    found = list(complaints(before, today))
    for complaint in found:
        print(complaint)
    compared = sum(len(before.get(part, {})) for part in today)
    allowed = ", ".join(f"{key} {limit}" for key, limit in LIMITS.items())
    if open_figures := ungated(before, today):
        print(f"{open_figures} figures have no baseline yet: run update")
    print(f"{compared} tables compared, {len(found)} complaints; points allowed: {allowed}")
    return 1 if found or not compared else 0


def rises(before, today):
    """Figures that rise at all, by name: what an update needs a reason for."""
    return {f"{part} {name} {key}": [old[key], new[key]]
            for part in PARTS if part in today
            for name, old in before.get(part, {}).items()
            if (new := today[part].get(name))
            for key in LIMITS if key in old and abs(new[key]) > abs(old[key])}


def updated(before, today, reason):
    """The new baseline; none where figures rise and no reason is given."""
    rose = rises(before, today)
    if rose and not reason:
        return None
    merged = {part: today.get(part, before.get(part, {})) for part in PARTS}
    merged["history"] = list(before.get("history", []))
    if rose:
        merged["history"].append({"reason": reason, "rose": rose})
    return merged


def update(tandem, reason):
    path = FOLDER / "baseline.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    today = measure(tandem)
    merged = updated(before, today, reason)
    if merged is None:
        for name, (old, new) in rises(before, today).items():
            print(f"{name}: {old:.2f} % -> {new:.2f} %")
        print("these figures rise: give --reason TEXT")
        return 2
    path.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n")
    print(f"{sum(len(merged[part]) for part in PARTS)} tables in {path.relative_to(ROOT)}")
    return 0


def drawn(rows, count):
    """`count` rows that a hash of their content picks, in their order."""
    marks = [hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest() for row in rows]
    chosen = set(sorted(marks)[:count])
    return [row for row, mark in zip(rows, marks) if mark in chosen][:count]


def kept(table, row):
    """Whether a row of the CSV passes the filters of its manifest entry."""
    for rule in table.get("filters", []):
        for column, values in rule.get("keep", {}).items():
            if row[column] not in map(str, values):
                return False
        for column, values in rule.get("drop", {}).items():
            if row[column] in map(str, values):
                return False
        for column, bound in rule.get("min", {}).items():
            if not row[column] or float(row[column]) < float(bound):
                return False
    return bool(row[table["measured"]])


def quote():
    """Writes one small table per family and source table, and their manifest."""
    import yaml  # only here: the gate itself needs no YAML library
    tables = yaml.safe_load((DATA / "manifest.yaml").read_text())["tables"]
    lines = ["# At most twenty rows per family, quoted from published measurements; drawn by",
             "# scripts/accuracy.py quote. Sources: README.md of this folder.", "format: 1", "tables:"]
    for family, pick in families.FAMILIES.items():
        sources = [t for t in tables if pick(t)]
        share = QUOTED_ROWS // max(1, len(sources))
        for table in sources:
            with open(DATA / table["file"], newline="") as file:
                rows = [row for row in csv.DictReader(file)
                        if kept(table, row) and families.wants_row(family, table, row)]
            lines += write_quoted(family, table, drawn(rows, share))
    (FOLDER / "quoted" / "manifest.yaml").write_text("\n".join(lines) + "\n")
    return 0


def write_quoted(family, table, rows):
    """The CSV of one quoted table in canonical columns; its lines of the manifest."""
    name = f"{family}.{table['id'].replace('.', '_')}"
    columns = table["columns"]
    path = FOLDER / "quoted" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, "measured"])
        for row in rows:
            writer.writerow([*(row[c] for c in columns.values()), row[table["measured"]]])
    entry = {"id": name, "file": path.name, "op": table["op"], "chip": table["chip"],
             "software": table["software"], "target": table["target"], "measured": "measured",
             "unit": table["unit"], "columns": {c: c for c in columns},
             "fixed": table.get("fixed", {}), "rows": len(rows)}
    if families.is_sustained(table):
        entry["sustained"] = True
    first = "- "
    lines = []
    for key, value in entry.items():
        lines.append(f"{first}{key}: {json.dumps(value)}")
        first = "  "
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", default=str(ROOT / "build/release/sim/entry/tandem"))
    parser.add_argument("--reason", default="", help="why figures rise, for update")
    parser.add_argument("action", choices=["check", "update", "quote"])
    arguments = parser.parse_args()
    if arguments.action == "quote":
        return quote()
    if arguments.action == "update":
        return update(arguments.tandem, arguments.reason.strip())
    return check(arguments.tandem)


if __name__ == "__main__":
    sys.exit(main())
