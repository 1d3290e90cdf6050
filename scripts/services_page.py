#!/usr/bin/env python3
"""Writes docs/services.md: measured services beside what the simulator predicts for them.

Usage: services_page.py --tandem FILE [--data DIR] [--sample N|all] [--seed S] [--only TEXT] [--store DIR]
                        [--workers N] [--rows FILE] [--check]

`--sample` bounds the rows per table, drawn from each group of model, GPU, format and engine in proportion;
`--only` runs the tables whose name contains TEXT and keeps the other sections of the page; `--rows` writes every
row with its prediction as JSON; `--check` compares the page with a fresh run. What a row stands for and what it is
compared with is decided by `tandem validate --only system`.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import tempfile

from services import report, request_log, tables
from services.cases import sample

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "services.md"
SAMPLE = 40
# Rows of tables whose runs take no time, as a multiple of the others'.
SHARES = {"argonne": 4, "splitwise": 4}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tandem", required=True, help="the program")
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("TANDEM_DATA"))
    parser.add_argument("--sample", default=str(SAMPLE))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--store")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def predicted(name, data, number, options):
    """All cases of a table, and those drawn with their predictions."""
    if name == "log":
        every = request_log.cases_of(data)
        request_log.predict(every[0], options.tandem, data, options.store)
        return every, every
    every = tables.cases_of(name, data)
    chosen = sample(every, number and number * SHARES.get(name, 1), options.seed)
    tables.predict(chosen, options.tandem, data, options.store, options.workers)
    return every, chosen


def main():
    options = arguments()
    if not options.data:
        sys.exit("services_page.py: error: no data: give --data or set TANDEM_DATA")
    number = None if options.sample == "all" else int(options.sample)
    found, covered = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        options.store = options.store or folder
        for name in ("log", *tables.TABLES):
            if options.only in name:
                found[name] = predicted(name, pathlib.Path(options.data), number, options)
                if name != "log":
                    covered[name] = tables.coverage(name, options.tandem, options.data)
    if options.rows:
        options.rows.write_text(json.dumps([dataclasses.asdict(case) for _, chosen in found.values()
                                            for case in chosen]))
    before = PAGE.read_text() if PAGE.exists() else ""
    page = report.page(found, number, options.seed, before if options.only else "", covered)
    if not options.check:
        PAGE.write_text(page)
    elif page != before:
        sys.exit("docs/services.md differs; run scripts/services_page.py and look at what moved")


if __name__ == "__main__":
    main()
