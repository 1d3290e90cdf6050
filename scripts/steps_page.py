#!/usr/bin/env python3
"""Passes beside published figures: runs `tandem step` for every row and writes docs/steps.md.

Usage: steps_page.py --tandem FILE [--check]
"""
import argparse
import json
import pathlib
import subprocess
import sys
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "steps.md"
SCENARIOS = "workloads/scenarios"
FP8 = "--set placement.precision.weights=fp8 --set placement.precision.kv_cache=fp8"


@dataclass
class Row:
    """One published figure and the command that predicts it."""
    what: str
    published: float
    unit: str  # tok/s/GPU: of the pass; ms: time of the pass
    source: str
    arguments: str


DECODE_128 = ("deepseek_v3_h800.yaml --set placement.decode.attention_data=128 "
              "--set placement.decode.expert=128 --set placement.decode.redundant_experts=0")
ROWS = [
    Row("DeepSeek-V3, 128 H800, EP128: tokens of 128 requests per GPU at 4096",
        2324, "tok/s/GPU", "profile-data, in the README of InferSim",
        f"{DECODE_128} --pool decode --requests 16384 --cached 4096"),
    Row("DeepSeek-V3, 32 H800, EP32: prompts of 4096, 16,384 tokens per GPU",
        7839, "tok/s/GPU", "profile-data, in the README of InferSim",
        "deepseek_v3_h800.yaml --pool prefill --requests 128 --new 4096 --cached 0"),
    Row("DeepSeek-V3, 144 H800, EP144: tokens of 88 requests per GPU at 4989",
        1000 / 21, "ms", "open-infra-index, day 6: 20 to 22 tok/s per user, 14.8k per node",
        "deepseek_v3_h800.yaml --pool decode --requests 12672 --cached 4989"),
    Row("DeepSeek-V3, 72 H100, EP72: tokens of 256 requests per GPU at 2000",
        22300 / 8, "tok/s/GPU", "SGLang, large-scale EP (2025-05-05)",
        "deepseek_v3_h100.yaml --pool decode --requests 18432 --cached 2000"),
    Row("DeepSeek-V3, 32 H100, EP32: prompts of 2000, 16,000 tokens per GPU",
        52300 / 8, "tok/s/GPU", "SGLang, large-scale EP (2025-05-05)",
        "deepseek_v3_h100.yaml --pool prefill --requests 256 --new 2000 --cached 0"),
] + [
    Row(f"Llama-3.1-70B fp8, 8 {chip}, TP8: tokens of {requests} requests at 5120", published, "ms",
        f"InferenceX, {engine}, TPOT at 1024 + 8192",
        f"llama70b_gpu.yaml --set system={system} --set software={software} {FP8} "
        f"--requests {requests} --cached 5120")
    for chip, system, engine, software, figures in [
        ("H100", "dgx_h100", "vLLM", "vllm", [(4, 9.195), (16, 11.584), (64, 16.489)]),
        ("B200", "dgx_b200", "TensorRT-LLM", "tensorrt_llm",
         [(4, 5.808), (16, 6.416), (64, 9.231)])]
    for requests, published in figures
]
HEAD = """# Passes beside published figures

Written by `scripts/steps_page.py`. Every row is one pass that `tandem step` simulates from an empty
store; the published figure is of a service or a profile, so schedulers, tokenizers and uneven loads
are in it and not in ours. Nothing was fitted to these rows.

| pass | published | source | ours | ours / published | floor | seconds |
|---|---:|---|---:|---:|---:|---:|
"""


def predict(tandem: str, row: Row) -> dict:
    """The figures of one pass."""
    scenario, *rest = row.arguments.split()
    command = [tandem, "step", f"{SCENARIOS}/{scenario}", *rest, "--store", "none", "--json", "-"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def line_of(row: Row, answer: dict) -> tuple[str, float]:
    """The row as the page has it, and ours over theirs."""
    is_rate = row.unit == "tok/s/GPU"
    ours = answer["tokens_per_s_per_chip"] if is_rate else answer["step_ms"]
    floor = answer["floor_ms"]
    if is_rate:
        floor = answer["requests"] * answer["new_tokens"] / answer["chips"] / floor * 1000
    digits = 0 if is_rate else 2
    figures = [f"{value:.{digits}f}" for value in (row.published, ours, floor)]
    ratio = ours / row.published
    return (f"| {row.what} | {figures[0]} {row.unit} | {row.source} | {figures[1]} | {ratio:.2f} "
            f"| {figures[2]} | {answer['run']['wall_s']:.1f} |", ratio)


def main() -> None:
    """Writes the page, or compares ours with the committed one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tandem", required=True)
    parser.add_argument("--check", action="store_true", help="fail where a figure has moved")
    arguments = parser.parse_args()
    tandem = str(pathlib.Path(arguments.tandem).resolve())
    lines = [line_of(row, predict(tandem, row))[0] for row in ROWS]
    commands = "\n".join(f"tandem step {SCENARIOS}/{row.arguments}" for row in ROWS)
    page = f"{HEAD}" + "\n".join(lines) + f"\n\nThe commands, in this order:\n```\n{commands}\n```\n"
    if not arguments.check:
        PAGE.write_text(page)
        return
    figures = [line.rsplit("|", 2)[0] for line in lines]
    missing = [line for line in figures if line not in PAGE.read_text()]
    if missing:
        sys.exit("docs/steps.md differs:\n" + "\n".join(missing))


if __name__ == "__main__":
    main()
