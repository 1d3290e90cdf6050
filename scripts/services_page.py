#!/usr/bin/env python3
"""Writes docs/services.md: measured services beside what the simulator predicts for them.

Usage: services_page.py --tandem FILE [--data DIR] [--sample N|all] [--seed S] [--only TEXT] [--store DIR]
                        [--rows FILE] [--check]

`--sample` bounds the rows per table, drawn from each group of model, GPU, format and engine in proportion;
`--only` runs the tables whose name contains TEXT and keeps the other sections of the page; `--rows` writes every
row with its prediction as JSON; `--check` compares the page with a fresh run.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import tempfile

from services import inferencex, report, request_log, static_batches, throughput
from services.cases import sample
from services.simulation import Runs

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "services.md"
TABLES = {"log": request_log.cases, "inferencex": inferencex.cases, "trtllm": throughput.cases,
          "splitwise": static_batches.splitwise, "argonne": static_batches.argonne}
SAMPLE = 40
# Rows of tables whose runs take no time, as a multiple of the others'; 0: minutes each, only with `--sample all`.
SHARES = {"trtllm": 0, "argonne": 4}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tandem", required=True, help="the program")
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("TANDEM_DATA"))
    parser.add_argument("--sample", default=str(SAMPLE))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--store")
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def progress(count, total):
    """A line on a terminal, nothing in a pipe."""
    if sys.stderr.isatty():
        print(f"\r{count} of {total}", end="", file=sys.stderr)


def main():
    options = arguments()
    if not options.data:
        sys.exit("services_page.py: error: no data: give --data or set TANDEM_DATA")
    number = None if options.sample == "all" else int(options.sample)
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(options.tandem, options.store or folder)
        for name, read in TABLES.items():
            if options.only in name and (number is None or SHARES.get(name, 1)):
                every = read(pathlib.Path(options.data))
                share = SHARES.get(name, 1)
                chosen = sample(every, number and max(1, round(number * share)), options.seed)
                runs.predict(chosen, progress)
                tables[name] = (every, chosen)
    if options.rows:
        options.rows.write_text(json.dumps([dataclasses.asdict(case) for _, chosen in tables.values()
                                            for case in chosen]))
    before = PAGE.read_text() if PAGE.exists() else ""
    page = report.page(tables, number, options.seed, before if options.only else "")
    if not options.check:
        PAGE.write_text(page)
    elif page != before:
        sys.exit("docs/services.md differs; run scripts/services_page.py and look at what moved")


if __name__ == "__main__":
    main()
