#!/usr/bin/python3
"""Writes docs/validation.md and the scatter plots beside it from `tandem validate`.

Needs the measured tables under $TANDEM_DATA (else ../shared/data). Every figure of the page comes
from a run that this script makes; what is quoted from others says so.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pandas
import validation_plots
import validation_targets

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))
TEXT = ROOT / "scripts" / "validation_text"
CHIPS = ("h100_sxm", "a100_sxm", "b200_sxm")
# Tables on which mechanisms are switched off: one per regime.
ABLATED_TABLES = ("h100_gemm_trtllm", "a100_gemm_trtllm", "b200_gemm_vllm",
                  "b200_gemm_power_trtllm",
                  "h100_context_attention_trtllm", "h100_generation_attention_trtllm",
                  "h100_moe_trtllm", "b200_gdn_power_trtllm")


class Runs:
    """Runs of `tandem validate`, each once."""

    def __init__(self, tandem, sample, seed, workers):
        self.tandem, self.sample, self.seed, self.workers = tandem, sample, seed, workers

    def validate(self, *options, only="", sample=None):
        """Tables as a list of objects, rows as a frame, and the seconds it took."""
        with tempfile.TemporaryDirectory() as folder:
            out, rows = (pathlib.Path(folder) / name for name in ("out.json", "rows.csv"))
            command = [self.tandem, "validate", "--data", DATA, "--sample", sample or self.sample,
                       "--seed", self.seed, "--workers", self.workers, "--json", out, "--rows", rows, *options]
            if only:
                command += ["--only", only]
            started = time.monotonic()
            subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - started
            tables = [t for t in json.loads(out.read_text())["tables"] if t["table"]]
            return tables, pandas.read_csv(rows, low_memory=False), seconds

    def describe_fitted(self, chip):
        """The lines of `tandem describe CHIP --fitted`."""
        return subprocess.run([self.tandem, "describe", chip, "--fitted"], check=True, text=True,
                              capture_output=True).stdout.strip()


def number(value, form="{:.1f}"):
    return "-" if value is None else form.format(value)


def name_of(table):
    return (table["table"], table["dtype"] or "-", table["metric"])


def error_table(with_layer, without):
    """Every table with its error, bias, p90, the roofline, and the error without the software
    layer."""
    bare = {name_of(t): t["mape_percent"] for t in without}
    lines = ["| table | op | chip | type | metric | layer | rows | predicted | MAPE % | bias % | p90 % "
             "| roofline % | no layer % |", "|" + "---|" * 13]
    for t in with_layer:
        if not t["predicted_rows"]:
            continue
        cells = [t["table"], t["op"], t["chip"], t["dtype"] or "-", t["metric"],
                 t["software_layer"] or "-", t["rows"], t["predicted_rows"],
                 number(t["mape_percent"]), number(t["bias_percent"], "{:+.1f}"),
                 number(t["p90_ape_percent"]), number(t["baseline_mape_percent"]),
                 number(bare.get(name_of(t)))]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def missing_table(tables):
    """Tables of kernels without predictions, by reason."""
    reasons = {}
    for t in tables:
        for reason, rows in t["not_predicted"].items():
            entry = reasons.setdefault(reason, [0, []])
            entry[0] += rows
            if t["table"] not in entry[1]:
                entry[1].append(t["table"])
    lines = ["| rows of the sample | reason | tables |", "|---|---|---|"]
    for reason, (rows, names) in sorted(reasons.items(), key=lambda item: -item[1][0]):
        lines.append(f"| {rows} | {reason} | {', '.join(names)} |")
    return lines


def switches():
    """Names of the ablation switches that the GPU model has."""
    text = (ROOT / "models" / "gpu" / "params.cpp").read_text()
    return sorted({part.split('"')[0] for part in text.split('{"')
                   if part.startswith("model_")})


def ablation_table(runs):
    """Error and speed with each mechanism off."""
    usual = {}
    lines = ["| switched off | " + " | ".join(ABLATED_TABLES) + " | rows/s |",
             "|---|" + "---|" * (len(ABLATED_TABLES) + 1)]
    for switch in (None, *switches()):
        cells, rows, seconds = [], 0, 0.0
        for only in ABLATED_TABLES:
            options = ["--set", f"{switch}=0"] if switch else []
            tables, _, spent = runs.validate(*options, only=only,
                                            sample=min(60, runs.sample))
            tables = [t for t in tables if t["metric"] == "latency" and t["predicted_rows"]]
            count = sum(t["predicted_rows"] for t in tables)
            rows, seconds = rows + count, seconds + spent
            error = sum(t["mape_percent"] * t["predicted_rows"] for t in tables) / max(1, count)
            usual.setdefault(only, error)
            cells.append(f"{error:.1f} ({error - usual[only]:+.1f})" if count else "-")
        lines.append(f"| {switch or 'nothing'} | " + " | ".join(cells) +
                     f" | {rows / max(seconds, 1e-9):.0f} |")
    return lines


# What the power meter is taken to hold before a row; all four are off without its model.
METER_FLAGS = ("meter_rests_modules", "meter_rests_blocks", "meter_fills_caches", "meter_descends")


def power_table(runs):
    """Errors of power with and without the model of the meter, on the same rows."""
    off = [word for flag in METER_FLAGS for word in ("--set", f"software.{flag}=0")]
    sample = min(100, runs.sample)
    with_meter, _, _ = runs.validate(only="power", sample=sample)
    bare = {name_of(t): t for t in runs.validate(*off, only="power", sample=sample)[0]}
    lines = ["| table | type | rows | MAPE % | bias % | p90 % | MAPE % without | bias % without "
             "| p90 % without |", "|" + "---|" * 9]
    for t in with_meter:
        if t["metric"] != "power" or not t["predicted_rows"]:
            continue
        cells = [t["table"], t["dtype"] or "-", t["predicted_rows"]]
        for of_run in (t, bare[name_of(t)]):
            cells += [number(of_run["mape_percent"]), number(of_run["bias_percent"], "{:+.1f}"),
                      number(of_run["p90_ape_percent"])]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def head_to_head(rows):
    """Errors on the rows that LLMCompass measured and quotes."""
    own = rows[(rows.table == "llmcompass_matmul_A100") & rows.predicted.notna()]
    if own.empty:
        return ["The rows of LLMCompass are not in this sample."]
    error = (own.predicted / own.measured - 1).abs() * 100
    roofline = (own.baseline / own.measured - 1).abs() * 100
    wanted = validation_text("llmcompass.md")
    return [wanted.format(rows=len(own), mean=error.mean(), worst=error.max(),
                          roofline=roofline.mean(), roofline_worst=roofline.max())]


def validation_text(name):
    return (TEXT / name).read_text().strip()


def fitted_table(runs):
    lines = []
    for chip in CHIPS:
        lines += [f"### {chip}", "```", runs.describe_fitted(chip), "```"]
    return lines


def plots(rows):
    """One picture per operator; the lines that show them."""
    folder = ROOT / "docs" / "validation"
    folder.mkdir(exist_ok=True)
    lines = []
    for op in sorted(rows.op.dropna().unique()):
        part = rows[(rows.op == op) & rows.predicted.notna() & (rows.metric == "latency")]
        if len(part) < 10:
            continue
        validation_plots.scatter(part, op, folder / f"{op}.svg")
        lines.append(f"![{op}](validation/{op}.svg)")
    return lines


def page(runs):
    with_layer, rows, seconds = runs.validate()
    without, _, _ = runs.validate("--software", "none", sample=min(100, runs.sample))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True,
                            capture_output=True, check=True).stdout.strip()
    predicted = sum(t["predicted_rows"] for t in with_layer)
    head = validation_text("head.md").format(sample=runs.sample, seed=runs.seed, commit=commit,
                                             rows=predicted, seconds=seconds,
                                             workers=runs.workers)
    return "\n".join([
        head, "", "## Families against their targets", validation_text("targets.md"), "",
        *validation_targets.target_table(rows), "",
        "## Errors", *error_table(with_layer, without), "",
        "## Power with and without the model of the meter", validation_text("power_meter.md"), "",
        *power_table(runs), "",
        "## Measured against predicted", *plots(rows), "",
        "## Not predicted", *missing_table(with_layer), "",
        "## Ablations", validation_text("ablations.md"), *ablation_table(runs), "",
        "## Head to head", *head_to_head(rows), "", validation_text("genz.md"), "",
        "## Fitted constants", validation_text("fitted.md"), *fitted_table(runs), "",
        validation_text("ladder.md"), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", default=str(ROOT / "build/release/sim/entry/tandem"))
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--figures", help="write the figures of all tables as JSON, and no page: bands are built from the page's")
    arguments = parser.parse_args()
    runs = Runs(arguments.tandem, arguments.sample, arguments.seed, arguments.workers)
    if arguments.figures:
        tables, _, seconds = runs.validate()
        figures = {"tables": tables, "seconds": seconds}
        pathlib.Path(arguments.figures).write_text(json.dumps(figures))
    else:
        (ROOT / "docs" / "validation.md").write_text(page(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
