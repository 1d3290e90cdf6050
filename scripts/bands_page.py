#!/usr/bin/env python3
"""Writes docs/bands.md: measured services beside the bands that runs print.

Usage: bands_page.py --tandem FILE [--data DIR] [--sample N] [--seed S] [--only TEXT] [--store DIR] [--workers N]
                     [--keep FILE] [--calibrate]

Rows are drawn from each table, `--sample` of them times the table's share, in proportion to their groups; a half of
them, drawn by the seed, is judged: the page counts how many lie inside the band that `tandem validate --rows` prints.
`--calibrate` rewrites the page's section "Errors of services" from the other half instead; the program reads it when
it is built, so build again before judging. `--keep` takes rows that are there from FILE and adds those it runs with
this program: right for the calibration, which needs the bands of kernels alone, and only as long as they stay.
"""

import argparse
import collections
import concurrent.futures
import csv
import dataclasses
import math
import os
import pathlib
import random
import re
import statistics
import sys

from services import tables
from services.cases import Case, sample

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "bands.md"
SAMPLE = 40
COVERED = 0.9  # of the cases, by the band's definition
FEWEST = 4  # rows from which an error of services is made


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of measured services: the figures that are judged, columns by which rows are drawn in proportion, rows
    drawn as a multiple of the sample, and the most requests at once that are run."""

    file: str
    figures: tuple
    groups: tuple
    share: float = 1
    most_users: int = 1024


TABLES = {
    "InferenceX": Table("e2e/inferencex_measured_ttft_tpot.csv", ("ttft", "tpot"), ("backend", "system"), 2, 128),
    "Splitwise": Table("e2e/splitwise_perf_llama2_70b.csv", ("ttft", "tpot"), ("hardware",), 2),
    "ALCF": Table("e2e/argonne_llm_inference_bench_a100_h100.csv", ("e2e",), ("Framework", "Hardware"), 4),
    "ML.ENERGY": Table("energy/mlenergy_llm_energy.csv", ("tpot", "power", "energy_per_token"),
                       ("model_id", "gpu_model"), 1, 256),
}
USERS = ("concurrency", "max_num_seqs", "batch_size", "Batch Size")
# The figures of services whose errors the program reads, by figure of a row; ends of answers stand for both times
# where a table has no other.
KINDS = {"ttft": ("ttft",), "tpot": ("tpot",), "e2e": ("ttft", "tpot"), "power": ("power",),
         "energy_per_token": ("energy",)}
VERSION = re.compile(r"(_\d+){2,}$")  # tensorrt_llm_1_0 is tensorrt_llm
NAMES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "end of the answer", "power": "power", "energy_per_token": "J/token"}

ERRORS = "## Errors of services"
COVERAGE = "## Coverage"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tandem", required=True, help="the program")
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("TANDEM_DATA"))
    parser.add_argument("--sample", type=int, default=SAMPLE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="tables whose name contains this text; nothing is written")
    parser.add_argument("--store")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--calibrate", action="store_true")
    return parser.parse_args()


def drawn(table, data, number, seed):
    """Lines of a table: those that are run, in two halves."""
    found = []
    with (data / table.file).open(newline="") as text:
        for line, row in enumerate(csv.DictReader(text), 2):
            users = next((row[column] for column in USERS if row.get(column)), "1")
            if float(users) <= table.most_users and row.get("Framework") != "llama.cpp":
                found.append(Case("", table.file, line, "/".join(row[column] for column in table.groups)))
    lines = [case.line for case in sample(found, round(number * table.share), seed)]
    random.Random(f"{seed}/{table.file}").shuffle(lines)
    return {"calibrated": sorted(lines[0::2]), "judged": sorted(lines[1::2])}


def run(table, lines, options):
    """Rows of `validate` for lines of a table, those that were kept first."""
    kept = []
    if options.keep and options.keep.exists():
        with options.keep.open(newline="") as text:
            kept = [row for row in csv.DictReader(text) if row["table"] == table.file and int(row["line"]) in lines]
    known = {int(row["line"]) for row in kept}
    cases = [Case("", table.file, line, "") for line in lines if line not in known]
    parts = [part for part in (cases[i::4 * options.workers] for i in range(4 * options.workers)) if part]
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        answers = pool.map(lambda part: tables.validated(options.tandem, options.data, options.store, table.file, part),
                           parts)
        for rows in answers:
            kept += [{name: row[name] for name in COLUMNS} for row in rows]
            if options.keep:
                keep(options.keep, rows)
    return kept


COLUMNS = ("table", "line", "metric", "run_layer", "run_chip", "measured", "predicted", "band_low", "band_high",
           "kernels_low", "kernels_high", "kernels_middle", "reason")


def keep(file, rows):
    is_new = not file.exists()
    with file.open("a", newline="") as text:
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A predicted figure of a row: measured over predicted, and ends of its bands over predicted."""

    table: str
    name: str
    engine: str
    chip: str
    ratio: float
    band: tuple
    kernels: tuple
    middle: float  # the prediction without the biases of kernels


def figures_of(name, table, rows):
    for row in rows:
        if row["metric"] not in table.figures or not row["predicted"] or not row["band_low"]:
            continue
        over = {column: float(row[column]) / float(row["predicted"])
                for column in ("measured", "band_low", "band_high", "kernels_low", "kernels_high", "kernels_middle")}
        # Rows of ML.ENERGY sample; their engine has a layer of its own.
        engine = "vllm_sampled" if name == "ML.ENERGY" else VERSION.sub("", row["run_layer"])
        yield Figure(name, row["metric"], engine, row["run_chip"], over["measured"],
                     (over["band_low"], over["band_high"]), (over["kernels_low"], over["kernels_high"]),
                     over["kernels_middle"])


def error_of(figures):
    """Bias and spread, as factors, of what kernels leave: the least spread with which bands hold the share of the
    rows that a new one lies in with `COVERED` (split conformal prediction)."""
    bias = math.exp(statistics.median(math.log(f.ratio / f.middle) for f in figures))
    needed = sorted(spread_for(f, bias) for f in figures)
    rank = min(len(needed), math.ceil((len(needed) + 1) * COVERED))
    return bias, needed[rank - 1]


def spread_for(figure, bias):
    """The least factor with which the figure's band, moved by `bias`, holds it."""
    left = figure.ratio / (figure.middle * bias)
    half = figure.kernels[0 if left < 1 else 1] / figure.middle - 1
    distance = math.sqrt(max(0.0, (left - 1) ** 2 - half ** 2))
    return 1 / max(0.01, 1 - distance) if left < 1 else 1 + distance


def errors_section(figures):
    groups = collections.defaultdict(list)
    for figure in figures:
        for kind in KINDS[figure.name]:
            subject = figure.chip if kind in ("power", "energy") else figure.engine
            groups[subject, kind].append(figure)
    text = f"""{ERRORS}
What schedulers, queues and engines add to the errors of kernels: measured over predicted in the calibrated half of the
rows, with the biases of kernels taken out. In nine of ten cases the truth lies between bias / spread and bias x spread
times the prediction, once the band of kernels is wide open as it is. `cmake/ServiceErrors.cmake` reads these lines.

| of | figure | rows | bias | spread |
|---|---|---|---|---|
"""
    for (subject, kind), found in sorted(groups.items()):
        own = [f for f in found if f.name != "e2e"] or found
        if len(own) < FEWEST:
            continue
        bias, spread = error_of(own)
        text += f"| {subject} | {kind} | {len(own)} | {bias:.3f} | {spread:.3f} |\n"
    return text


def coverage_section(figures):
    text = f"""{COVERAGE}
Of the judged half of the rows. "Without" is the band before the errors of services.

| table | figure | rows | inside the band | half width | without | half width | mean error |
|---|---|---|---|---|---|---|---|
"""
    groups = collections.defaultdict(list)
    for figure in figures:
        groups[figure.table, NAMES[figure.name]].append(figure)
        groups["all", NAMES[figure.name]].append(figure)
        groups["all", "all"].append(figure)
    for (table, name), found in sorted(groups.items(), key=lambda item: (item[0][0] == "all", item[0][1] == "all")):
        text += f"| {table} | {name} | {len(found)} | {inside(found, 'band')} | {inside(found, 'kernels')} "
        text += f"| {100 * statistics.fmean(abs(1 / f.ratio - 1) for f in found):.1f} % |\n"
    return text


def inside(figures, band):
    ends = [getattr(figure, band) for figure in figures]
    count = sum(low <= figure.ratio <= high for figure, (low, high) in zip(figures, ends))
    width = statistics.fmean((high - low) / 2 for low, high in ends)
    return f"{count} ({100 * count / len(figures):.0f} %) | {100 * width:.0f} %"


def replaced(page, section):
    """The page with one of its sections made again."""
    name = section.split("\n", 1)[0]
    before, _, rest = page.partition(name)
    after = rest.find("\n## ")
    return before + section + (rest[after:] if after >= 0 else "")


def main():
    options = arguments()
    if not options.data:
        sys.exit("bands_page.py: error: no data: give --data or set TANDEM_DATA")
    figures = []
    for name, table in TABLES.items():
        if options.only not in name:
            continue
        lines = drawn(table, options.data, options.sample, options.seed)
        rows = run(table, lines["calibrated" if options.calibrate else "judged"], options)
        figures += figures_of(name, table, rows)
    section = errors_section(figures) if options.calibrate else coverage_section(figures)
    if options.only:
        print(section)
        return
    PAGE.write_text(replaced(PAGE.read_text(), section))


if __name__ == "__main__":
    main()
