#!/usr/bin/python3
"""The accuracy gate: errors against measurements may not grow by more than half a point.

    accuracy.py check     compares with tests/accuracy/baseline.json; exits 1 if an error grew
    accuracy.py update    writes today's errors as the new baseline
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
LIMIT = 0.5  # points of MAPE


def figures(tandem, folder, sample=None):
    """MAPE and predicted rows of every table, element type and metric that `tandem validate`
    predicts, by name."""
    command = [tandem, "validate", "--data", str(folder)]
    if sample:
        command += ["--sample", str(sample["rows"]), "--seed", str(sample["seed"])]
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "out.json"
        subprocess.run([*command, "--json", str(out)], check=True, stdout=subprocess.DEVNULL)
        tables = json.loads(out.read_text())["tables"]
    return {"/".join((t["table"], t["dtype"] or "-", t["metric"])):
                {"mape": round(t["mape_percent"], 2), "rows": t["predicted_rows"]}
            for t in tables if t["table"] and t["predicted_rows"]}


def by_family(tables):
    """One figure per family: the mean over its rows."""
    sums = {}
    for name, figure in tables.items():
        family = sums.setdefault(name.split(".")[0], [0, 0])
        family[0] += figure["mape"] * figure["rows"]
        family[1] += figure["rows"]
    return {family: {"mape": round(total / rows, 2), "rows": rows}
            for family, (total, rows) in sorted(sums.items())}


def measure(tandem):
    """Today's figures of both sets; the second only where the measured tables are."""
    today = {"quoted": by_family(figures(tandem, FOLDER / "quoted"))}
    if (DATA / "manifest.yaml").exists():
        today["samples"] = figures(tandem, DATA, SAMPLE)
    return today


def complaints(before, today):
    """What grew, and what is no longer predicted."""
    for part, figures_of_part in before.items():
        if part not in today:
            print(f"{part}: the measured tables are not here; skipped")
            continue
        for name, old in figures_of_part.items():
            new = today[part].get(name)
            if new is None or new["rows"] < old["rows"]:
                yield f"{part} {name}: {new['rows'] if new else 0} of {old['rows']} rows predicted"
            elif new["mape"] > old["mape"] + LIMIT:
                yield f"{part} {name}: {old['mape']:.2f} % -> {new['mape']:.2f} %"


def check(tandem):
    before = json.loads((FOLDER / "baseline.json").read_text())
    today = measure(tandem)
    found = list(complaints(before, today))
    for complaint in found:
        print(complaint)
    compared = sum(len(before[part]) for part in before if part in today)
    print(f"{compared} errors compared, {len(found)} grew by more than {LIMIT} points")
    return 1 if found or not compared else 0


def update(tandem):
    today = measure(tandem)
    path = FOLDER / "baseline.json"
    if "samples" not in today and path.exists():
        today["samples"] = json.loads(path.read_text()).get("samples", {})
    path.write_text(json.dumps(today, indent=1, sort_keys=True) + "\n")
    print(f"{sum(map(len, today.values()))} errors in {path.relative_to(ROOT)}")
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
    parser.add_argument("action", choices=["check", "update", "quote"])
    arguments = parser.parse_args()
    if arguments.action == "quote":
        return quote()
    return {"check": check, "update": update}[arguments.action](arguments.tandem)


if __name__ == "__main__":
    sys.exit(main())
