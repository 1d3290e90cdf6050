#!/usr/bin/env python3
"""Writes docs/head_to_head.md: the same passes through published simulators and through Tandem.

Usage: head_to_head.py TANDEM > docs/head_to_head.md

Figures of others are quoted; nothing of theirs runs here. Floors come with every answer of Tandem.
"""
import json
import subprocess
import sys

# Llama 3.1 8B in bfloat16 on one chip, milliseconds, each tool with its own constants of the chip:
# prompt of 4,096 tokens, one and 64 requests at 4,096 cached tokens.
OTHERS = {
    "GenZ, efficiency 1.0 (091bdd0)": {"H100": (75.4, 4.26, 13.6), "A100": (239, 7.10, 22.6)},
    "LLM-Viewer (472f71f)": {"H100": (107, 5.59, 50.2), "A100": (257, 8.43, 75.6)},
    "BLIS roofline (f90a1e3)": {"H100": (104, 3.21, 25.0), "A100": (390, 5.27, 67.3)},
    "BLIS trained physics (f90a1e3)": {"H100": (33, 7.19, 28.1), "A100": (60, 11.0, 47.2)},
}
SCENARIOS = {"H100": "llama8b_gpu", "A100": "llama8b_a100"}
PASSES = (["--requests", "1", "--new", "4096", "--cached", "0"],
          ["--requests", "1", "--cached", "4096"],
          ["--requests", "64", "--cached", "4096"])

# DeepSeek-V3 on H800 nodes, tokens/s per GPU: measured (deepseek-ai/profile-data), InferSim
# (f2293da), and the pass of Tandem.
DECODE = ["deepseek_v3_h800", "--set", "placement.decode.attention_data=128",
          "--set", "placement.decode.expert=128", "--set", "placement.decode.redundant_experts=0",
          "--pool", "decode", "--requests", "16384", "--cached", "4096"]
PREFILL = ["deepseek_v3_h800", "--pool", "prefill", "--requests", "128", "--new", "4096",
           "--cached", "0"]
SERVED = (("tokens, EP128, 128 requests per GPU at 4,096", 2324, 2675, DECODE),
          ("prompts, EP32, 16,384 tokens per GPU", 7839, 9034, PREFILL))


def step(tandem, arguments):
    command = [tandem, "step", *arguments, "--store", "none", "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{done.stderr}")
    text = done.stdout
    return json.JSONDecoder().raw_decode(text[text.index("{"):])[0]


def cell(value, floor):
    """A figure, marked where it is below what the hardware allows."""
    return f"{value:.4g}" + (" (below the floor)" if value < 0.995 * floor else "")


def dense_table(tandem, chip):
    answers = [step(tandem, [SCENARIOS[chip], *arguments]) for arguments in PASSES]
    floors = [answer["floor_ms"] for answer in answers]
    print(f"| {chip} | prompt of 4,096 | one request at 4,096 | 64 requests at 4,096 |")
    print("|---|---:|---:|---:|")
    print("| floor | " + " | ".join(f"{floor:.4g}" for floor in floors) + " |")
    print("| **Tandem** | " + " | ".join(f"**{a['step_ms']:.4g}**" for a in answers) + " |")
    for tool, figures in OTHERS.items():
        cells = [cell(value, floor) for value, floor in zip(figures[chip], floors)]
        print(f"| {tool} | " + " | ".join(cells) + " |")
    print()


def main():
    tandem = sys.argv[1]
    print("""# The same passes through published simulators

Written by `scripts/head_to_head.py`. Figures of other tools are quoted: runs of their repositories at
the commits named, each with its own constants of the chip. The floor is Tandem's: every byte that must
move at the rate of the data sheet, every operation at its peak.

## Llama 3.1 8B, bfloat16, one chip, milliseconds
BLIS gives means over 64 generated tokens, prompts of other requests included.
""")
    for chip in SCENARIOS:
        dense_table(tandem, chip)
    print("""Why others are below the floor or far above it, as found in their sources: GenZ leaves out the LM head
and takes 3.4 TB/s; the roofline of BLIS drops a third of the gated block's weights; its trained
coefficients extrapolate; LLM-Viewer reads KV once per query head instead of once per KV head. For
Llama 3.1 8B the four answers for one pass differ 2.2 to 3.7 times from each other.

## DeepSeek-V3 on H800 nodes, tokens/s per GPU

| pass | measured | InferSim | error | Tandem | error |
|---|---:|---:|---:|---:|---:|""")
    for name, measured, theirs, arguments in SERVED:
        ours = step(tandem, arguments)["tokens_per_s_per_chip"]
        print(f"| {name} | {measured} | {theirs} | {100 * (theirs / measured - 1):+.0f} % | "
              f"{ours:.0f} | {100 * (ours / measured - 1):+.0f} % |")
    print("""
InferSim multiplies peaks by utilisations measured on that very chip and kernel library; Tandem
was fitted to none of these rows (`docs/steps.md`). Measured: deepseek-ai/profile-data.

## What is not here
Tools that could not be run without their data or packages: LLMServingSim, AIConfigurator, APEX,
SimAI, TokenSim. LLMCompass publishes errors per kernel, quoted in `docs/validation.md`.""")


if __name__ == "__main__":
    main()
