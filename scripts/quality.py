#!/usr/bin/python3
"""What number formats cost in quality and what they save: measures and writes docs/quality.md.

    scripts/quality.py --tandem FILE              measure everything (minutes) and write the page
    scripts/quality.py --tandem FILE --table T    measure one table again, keep the others
    scripts/quality.py --tandem FILE --missing    measure what has no figures yet: new rows, new models
    scripts/quality.py --tandem FILE --check      measure a row of every table of GPUs and compare

Figures are kept in docs/quality.json; the page is printed from it. A further table is one more entry
of TABLES: its rows and how to measure one.
"""

import argparse
import json
import pathlib
import sys
from dataclasses import dataclass
from typing import Callable

from quality_rows import (
    EVICTED_STORIES, HELD_OUT_SEED, HELD_OUT_STORIES, KV_FORMATS, LONG_LOAD, LPU_STORIES, PAIRS, STORY_TOKENS,
    WEIGHT_ONLY, cache_cost_lines, cache_rows, cost_lines, eviction_rows, lpu_cost_lines, lpu_rows,
    measure_cache_cost, measure_cost, measure_lpu, measure_lpu_cost, perplexities, perplexity_lines, precision,
    quality_rows, story_rows, with_rows_in)

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE, FIGURES = ROOT / "docs" / "quality.md", ROOT / "docs" / "quality.json"


@dataclass(frozen=True)
class Table:
    """One table of the page: its rows by name, how to measure one, how to print all."""

    title: str
    about: str
    rows: Callable[[], list]
    measure: Callable
    lines: Callable
    tolerance: float
    checked: tuple  # rows that --check measures


TABLES = {
    "weights": Table(
        "Perplexity by format of weights",
        f"Per token, on {HELD_OUT_STORIES} held-out stories (seed {HELD_OUT_SEED}), computed on a simulated B200 by"
        " `tandem score`. Projections of mixers, feed-forward blocks and experts have the format; tables, head, norms"
        " and routers are kept (`fp8` alone names tables and head too); KV in bfloat16. \"refused\": rows are no whole"
        " groups of q4_0.",
        lambda: list(quality_rows()),
        lambda tandem, name, known: perplexities(tandem, quality_rows()[name], known),
        perplexity_lines("weights x activations", with_rows_in), 1e-9,
        ("int4_g32",)),
    "lpu": Table(
        "Perplexity on LPUs",
        f"The first {LPU_STORIES} stories on one LPU. Rows are cast to the weights' type before products, without a"
        " factor. \"expanded\": codes become float16 when they are loaded (`expand: load`).",
        lambda: list(lpu_rows()), measure_lpu, perplexity_lines("weights, cache"), 1e-9, ()),
    "lpu_cost": Table(
        "What narrow elements save on LPUs",
        "Llama-3.2-3B, 8 users: prompts on one H100 in bfloat16, tokens on a pipeline of 31 LP30 (28 layers, three chips"
        " for the head), from `tandem run`: median time per output token, weights and tables of the fullest chip and its"
        " host, KV of a request of full length on one chip, energy per output token of GPU and LPUs. LP30's numbers are"
        " estimates.",
        lambda: list(lpu_rows()), measure_lpu_cost, lpu_cost_lines, 1e-3, ("fp8, KV fp8",)),
    "cost": Table(
        "What the formats save",
        "Llama-3.1-8B, 8 users, from `tandem run`: median time per output token, weights with their scales, energy"
        " per output token of the whole box. Where a chip has no pipe for the pair, rows are kept.",
        lambda: [*WEIGHT_ONLY, *(f"{w} x {r}" for w, r in PAIRS)],
        measure_cost, cost_lines, 1e-3, ("nvfp4 x nvfp4",)),
    "cache": Table(
        "Perplexity by format of the KV cache",
        "The same stories; weights and activations in bfloat16, keys and values in the format (docs/formats.md)."
        " \"refused\": latents, and states of layers without a cache stay as they are.",
        lambda: list(cache_rows()),
        lambda tandem, name, known: perplexities(tandem, cache_rows()[name], known), perplexity_lines("cache"), 1e-9,
        ("int4_g32",)),
    "eviction": Table(
        "Perplexity by tokens that stay",
        f"The first {EVICTED_STORIES} stories, token by token. Shares in per cent are numbers of tokens (`tokens`), of"
        f" {STORY_TOKENS}, the stories' mean length; `budget` is a share of the tokens so far, which leaves less of a"
        " story's beginning (docs/decisions/kv_formats.md). Heavy hitters are half of H2O's tokens, the other half the last ones;"
        " StreamingLLM has four sinks. Gated delta layers keep their states; heads that"
        " share latents share what stays.",
        lambda: list(story_rows()),
        lambda tandem, name, known: perplexities(
            tandem, {**precision("bfloat16"), **story_rows()[name]}, known,
            "--tokens-per-pass", 1, "--documents", EVICTED_STORIES),
        perplexity_lines("tokens that stay"), 1e-9, ("h2o 20 %",)),
    "cache_cost": Table(
        "What narrow and short caches save",
        "Llama-3.1-8B in bfloat16, 4 users with prompts of 16,384 tokens, from `tandem run`: median time between"
        " tokens, KV of a request of full length, energy per output token of the whole box, prompts included."
        " Shares are numbers of tokens (`tokens`), of the prompt's.",
        lambda: [*KV_FORMATS, *list(eviction_rows(LONG_LOAD["traffic.prompt_tokens"]))[1:]],
        measure_cache_cost, cache_cost_lines, 1e-3, ("int2_g32",)),
}


def page_of(figures):
    """docs/quality.md."""
    lines = ["# Formats and quality", "",
             "Made by `scripts/quality.py`; do not edit. A small model forgives what a large one may not: read the"
             " order and the cliffs, not the decimals. Times are those of GPUs: LPUs refuse formats of the cache and eviction"
             " (docs/deviations.md, 118). Heads of these models have 32 elements, so groups of a cache are never longer:"
             " g128 is g32 there."]
    for key, table in TABLES.items():
        lines += ["", f"## {table.title}", "", table.about, "", *table.lines(figures[key])]
    return "\n".join(lines) + "\n"


def numbers_of(value):
    """All numbers in nested figures, in order."""
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_of(part)]
    return [value] if isinstance(value, (int, float)) else []


def check(tandem, figures):
    """Whether the page is printed from the figures, and the checked rows of every table still hold."""
    if PAGE.read_text() != page_of(figures):
        print("docs/quality.md is not what docs/quality.json says; run scripts/quality.py")
        return False
    good = True
    for key, table in TABLES.items():
        for name in table.checked:
            pairs = zip(numbers_of(table.measure(tandem, name, {})), numbers_of(figures[key][name]), strict=True)
            if any(abs(new - old) > table.tolerance * abs(old) for new, old in pairs):
                print(f"table {key}, row {name}: figures have moved; run scripts/quality.py --table {key}")
                good = False
    return good


def main():
    """Measure, write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tandem", required=True, type=pathlib.Path)
    parser.add_argument("--table", choices=TABLES, help="measure this one only")
    parser.add_argument("--missing", action="store_true", help="only what has no figures yet")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    tandem = arguments.tandem.resolve()
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if arguments.check:
        return 0 if check(tandem, figures) else 1
    for key, table in TABLES.items():
        if arguments.table not in (None, key):
            continue
        known = figures.get(key, {}) if arguments.missing else {}
        figures[key] = {}
        for name in table.rows():
            figures[key][name] = table.measure(tandem, name, known.get(name, {}))
            print(key, name, figures[key][name], flush=True)
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(page_of(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
