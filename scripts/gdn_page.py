#!/usr/bin/env python3
"""Linear attention against full attention: runs `tandem step` over contexts, writes docs/gdn.md.

Usage: gdn_page.py --tandem FILE [--check]
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend comes first)

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "gdn.md"
PLOT = ROOT / "docs" / "gdn.svg"
HYBRID, FULL = "qwen3.5-397b-a17b", "qwen3-235b-a22b"
CONTEXTS = [4096, 8192, 16384, 32768, 65536, 131072, 262143]
# Tensor parallel, where ranks hold copies of the few KV heads; attention by requests, experts spread.
SHARED = ["--set", "placement.tensor=1", "--set", "placement.attention_data=8", "--set",
          "placement.expert=8"]
NODES = {"8 H200, tensor 8": ("dgx_h200", []), "8 B200, tensor 8": ("dgx_b200", []),
         "8 H200, attention_data 8, expert 8": ("dgx_h200", SHARED),
         "8 B200, attention_data 8, expert 8": ("dgx_b200", SHARED)}
MOST_REQUESTS = 1024
# Qwen3.5's own blog figures, as quoted by two articles: decode throughput against Qwen3-235B-A22B.
PUBLISHED = {32768: 3.5, 262143: 7.2}
OPTIONS = ["workloads/scenarios/llama70b_gpu.yaml", "--store", "none",
           "--set", "placement.precision.weights=fp8", "--set", "placement.precision.kv_cache=fp8"]


class Simulator:
    """Passes and sizes of the two models."""

    def __init__(self, tandem):
        self.tandem = tandem
        self.sizes = {model: self._sizes(model) for model in (HYBRID, FULL)}

    def _run(self, *options):
        return subprocess.run([self.tandem, *options], cwd=ROOT, capture_output=True, text=True,
                              check=False)

    def _sizes(self, model):
        """Bytes that a request keeps: per token in fp8 and once."""
        text = self._run("describe", model).stdout
        elements = int(re.search(r"KV per token .*\((\d+) elements\)", text).group(1))
        state = re.search(r"state per sequence\s+(\d+) B recurrent.*?(\d+) B conv", text)
        return elements, sum(map(int, state.groups())) if state else 0

    def memory(self, model, context):
        """Bytes of one request."""
        per_token, once = self.sizes[model]
        return per_token * context + once

    def step(self, node, model, requests, context):
        """The pass as JSON, or None where the requests do not fit."""
        system, placement = NODES[node]
        done = self._run("step", *OPTIONS, "--set", f"system={system}", *placement, "--set",
                         f"model={model}",
                         "--set", f"serving.max_sequences={requests}", "--requests", str(requests),
                         "--cached", str(context), "--json", "-")
        if done.returncode == 2 and ("need KV of" in done.stderr or "do not fit" in done.stderr):
            return None
        if done.returncode != 0:
            sys.exit(done.stderr)
        return json.loads(done.stdout)

    def fullest(self, node, model, context):
        """The pass of as many requests as there is room for, up to MOST_REQUESTS."""
        low, high = 1, MOST_REQUESTS + 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.step(node, model, middle, context) is None:
                high = middle
            else:
                low = middle
        return self.step(node, model, low, context)

    def fastest(self, node, model, context):
        """The pass of most tokens per second: of as many requests as there is room for, or of 8 to 15 sixteenths
        of them in whole eights, where attention's last wave of CTAs would be nearly empty."""
        full = self.fullest(node, model, context)
        counts = {full["requests"] * part // 16 // 8 * 8 for part in range(8, 16)} - {0}
        return max([full] + [self.step(node, model, count, context) for count in sorted(counts)],
                   key=lambda step: step["tokens_per_s"])


HEAD = f"""# Gated DeltaNet against full attention

Written by `scripts/gdn_page.py`. One decoding pass of Qwen3.5-397B-A17B (three of four layers Gated
DeltaNet) and of Qwen3-235B-A22B (all layers grouped attention) on the same node, weights and KV in
fp8, states in float32, no framework time: 16 requests, and as many as give most tokens per second of
those that the node's memory holds (up to {MOST_REQUESTS}). Qwen3-235B's published context ends at 40,960 tokens; longer ones are what its layers
would cost. With `tensor 8` ranks hold four (two) copies of the models' two (four) KV heads. "Kept" is what one request keeps: KV, and states where there are any.

![Throughput against context](gdn.svg)
"""
COLUMNS = ("| context | kept, 397B MB | kept, 235B MB | ms, 397B, 16 | ms, 235B, 16 | ratio | requests, 397B "
           "| requests, 235B | tok/s, 397B | tok/s, 235B | ratio | published |\n"
           "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
TAIL = """
The published ratios (3.5 at 32K, 7.2 at 256K, against Qwen3-235B-A22B; hardware, precision and batch
were not told) are of services. What a pass by itself gives is the last ratio. The hybrid keeps a
sixth of the other's KV per token, but its states (192 MB) are read and written for every token, and
it has more weights to read and to hold: at short contexts its advantage is small. Attention on Hopper
cuts sequences to an SM's share by a rule that leaves its last wave of CTAs nearly empty at some batches
(docs/deviations.md, 116): fewer requests than the memory holds are then faster.
"""


def row_of(simulator, node, context):
    """One context: figures of both models by name."""
    figures = {"context": context}
    for model in (HYBRID, FULL):
        few = simulator.step(node, model, 16, context)
        full = simulator.fastest(node, model, context)
        figures[model] = {"kept": simulator.memory(model, context) / 1e6,
                          "step": few["step_ms"] if few else None,
                          "requests": full["requests"], "rate": full["tokens_per_s"]}
    return figures


def line_of(row):
    """The row as the page has it."""
    ours, theirs = row[HYBRID], row[FULL]

    def text(value, digits):
        return "-" if value is None else f"{value:.{digits}f}"

    ratio = theirs["step"] / ours["step"] if ours["step"] and theirs["step"] else None
    cells = [f"{row['context']}", text(ours["kept"], 0), text(theirs["kept"], 0),
             text(ours["step"], 2), text(theirs["step"], 2), text(ratio, 2), str(ours["requests"]),
             str(theirs["requests"]), text(ours["rate"], 0), text(theirs["rate"], 0),
             text(ours["rate"] / theirs["rate"], 2), text(PUBLISHED.get(row["context"]), 1)]
    return "| " + " | ".join(cells) + " |"


def plot(tables):
    """Throughput against context."""
    figure, axes = plt.subplots(figsize=(6, 3.6))
    for (node, rows), style in zip(tables.items(), ("-", "--", "-.", ":")):
        for model, colour in ((HYBRID, "#1f77b4"), (FULL, "#d62728")):
            axes.plot([row["context"] for row in rows], [row[model]["rate"] for row in rows], style,
                      marker="o", markersize=3, color=colour, label=f"{model}, {node}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("cached tokens per request")
    axes.set_ylabel("tokens/s, memory full")
    axes.legend(fontsize=6)
    figure.tight_layout()
    # No date and fixed ids: the same rows give the same file.
    with plt.rc_context({"svg.hashsalt": "tandem"}):
        figure.savefig(PLOT, metadata={"Date": None})
    plt.close(figure)


def check_rows(simulator, names):
    """Fails where the page has other figures in its rows."""
    sections = {part.split("\n", 1)[0]: part for part in PAGE.read_text().split("\n## ")}
    for name in names:
        node, context = name.rsplit(":", 1)
        if line_of(row_of(simulator, node, int(context))) not in sections[node].splitlines():
            sys.exit(f"docs/gdn.md, {node} at {context} tokens: differs; run scripts/gdn_page.py")


def main():
    """Writes page and plot, or compares the committed page with new figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tandem", required=True)
    parser.add_argument("--check", action="store_true", help="fail where a figure has moved")
    parser.add_argument("--row", action="append", default=[], metavar="NODES:TOKENS",
                        help="check these rows alone, in less time")
    arguments = parser.parse_args()
    simulator = Simulator(str(pathlib.Path(arguments.tandem).resolve()))
    if arguments.row:
        check_rows(simulator, arguments.row)
        return
    tables = {node: [row_of(simulator, node, context) for context in CONTEXTS] for node in NODES}
    parts = [HEAD]
    for node, rows in tables.items():
        parts.append(f"\n## {node}\n{COLUMNS}\n" + "\n".join(map(line_of, rows)) + "\n")
    page = "".join(parts) + TAIL
    if arguments.check:
        if page != PAGE.read_text():
            sys.exit("docs/gdn.md differs; run scripts/gdn_page.py")
        return
    PAGE.write_text(page)
    plot(tables)


if __name__ == "__main__":
    main()
