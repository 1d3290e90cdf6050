#!/usr/bin/env python3
"""Measured services beside the bands that runs print: writes docs/bands.md.

Usage: bands_page.py --tandem FILE [--data DIR] [--sample N] [--seed S] [--most N] [--store DIR]
                     [--slowest S]

Rows are drawn as for docs/services.md, `--sample` of each table and at least one of each group; `--most` bounds
them. A figure is covered where its measured value lies
inside the band of its prediction: the prediction times the ends of the run's band over its mean. `--slowest` leaves
out rows whose run takes longer, in seconds.
"""

import argparse
import collections
import concurrent.futures
import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from services import inferencex, static_batches
from services.cases import sample
from services.simulation import STATISTICS

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "bands.md"
TABLES = {"InferenceX": inferencex.cases, "Splitwise": static_batches.splitwise, "ALCF": static_batches.argonne}
KEYS = {"ttft": "ttft_ms", "tpot": "tpot_ms", "e2e": "e2e_ms", "throughput": "output_tokens_per_s",
        "throughput_total": "total_tokens_per_s"}

HEAD = """# Measured services inside the printed bands

Written by `scripts/bands_page.py --sample {sample} --most {most} --seed {seed}`;
rows whose run took longer than {slowest:.0f} s are left out. The band of a figure is meant to hold the truth in
90 of 100 cases. It is put together from what is known apart from services:

- the validated error of every kernel family that the run spends its time in (bias and 90th percentile of
  [validation.md](validation.md), `sim/account/model_errors.cpp`): biases shift the band, what is left of the 90th
  percentile widens it by the family's share of the passes; kernels of one family err together, families apart;
- constants of the software and assumed inputs of chips, links, systems and prices at the ends of their ranges.

Causes add as independent ones. No number of the band was set by the rows below.

| table | figure | rows | inside the band | mean half width | mean error |
|---|---|---|---|---|---|
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tandem", required=True)
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("TANDEM_DATA"))
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--store")
    parser.add_argument("--slowest", type=float, default=120)
    return parser.parse_args()


def run(case, options, store):
    """Figures of a case with the ends of their bands, by name; none where it does not run."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "scenario.yaml").write_text(case.scenario)
        (folder / "trace.csv").write_text(case.trace)
        command = ["nice", options.tandem, "run", str(folder / "scenario.yaml"), "--store", store,
                   "--requests", str(folder / "requests.csv"), "--json", str(folder / "result.json")]
        try:
            done = subprocess.run(command, capture_output=True, timeout=options.slowest)
        except subprocess.TimeoutExpired:
            return {}
        if done.returncode != 0:
            return {}
        with (folder / "requests.csv").open() as rows:
            requests = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(rows)]
        result = json.loads((folder / "result.json").read_text())
    predicted = STATISTICS[case.statistic](requests, case)
    found = {}
    for name, key in KEYS.items():
        value, band = result["summary"].get(key), result["bands"].get(key)
        if isinstance(value, dict) and band:
            value, band = value["mean"], band["mean"]
        if name in case.measured and name in predicted and band and value:
            found[name] = (predicted[name], band[0] / value, band[1] / value)
    return found


def main():
    options = arguments()
    if not options.data:
        sys.exit("bands_page.py: error: no data: give --data or set TANDEM_DATA")
    rows = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        store = options.store or folder
        for table, read in TABLES.items():
            cases = [case for case in read(options.data) if case.scenario]
            cases = sample(cases, options.sample, options.seed)
            if len(cases) > options.most:
                cases = random.Random(f"{options.seed}/{table}").sample(cases, options.most)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                for case, figures in zip(cases, pool.map(lambda c: run(c, options, store), cases)):
                    for name, (predicted, low, high) in figures.items():
                        rows[table, name].append((case.measured[name] / predicted, low, high))
    text = HEAD.format(sample=options.sample, most=options.most, seed=options.seed, slowest=options.slowest)
    everything = []
    for (table, name), found in rows.items():
        text += line(table, name, found)
        if name != "ttft":
            everything += found
    text += line("all", "but ttft", everything)
    PAGE.write_text(text, encoding="utf-8")


def line(table, name, found):
    """One row of the page; `found` has measured over predicted and the ends of the band."""
    inside = sum(low <= ratio <= high for ratio, low, high in found)
    width = sum(high - low for _, low, high in found) / 2 / len(found)
    error = sum(abs(1 / ratio - 1) for ratio, _, _ in found) / len(found)
    return (f"| {table} | {name} | {len(found)} | {inside} ({100 * inside / len(found):.0f} %) "
            f"| {100 * width:.0f} % | {100 * error:.1f} % |\n")


if __name__ == "__main__":
    main()
