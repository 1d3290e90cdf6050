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
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Callable

from small_model import tales

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE, FIGURES = ROOT / "docs" / "quality.md", ROOT / "docs" / "quality.json"
HELD_OUT_SEED, HELD_OUT_STORIES = 77001, 24
PRECISION = "placement.precision"


@dataclass(frozen=True)
class Model:
    """A checkpoint of this repository with text that it has never seen."""

    name: str
    checkpoint: str
    scenario: str  # monolithic
    on_lpu: str  # the same on an LPU
    system: str  # whose chips have pipes for every pair of formats
    text: Callable[[], str]

    def score(self, tandem, sets, *options, scenario=None):
        """What `tandem score` says of the held-out text; None where the format refuses the model."""
        folder = ROOT / "workloads" / "checkpoints"
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(self.text())
            file.flush()
            place = {} if scenario else {"system": self.system}
            return run_json(tandem, "score", scenario or self.scenario, {**place, **sets},
                            "--checkpoint", folder / self.checkpoint,
                            "--tokenizer", folder / "little_tales" / "tokenizer.bin", "--text", file.name, *options)


def held_out_stories():
    """Stories that no model of this repository was trained on, one per line."""
    return "\n".join(tales.tell_stories(HELD_OUT_STORIES, HELD_OUT_SEED))


MODELS = [
    Model("little_tales", "little_tales/model.bin", "little_tales_gpu", "little_tales_lpu", "b200_single", held_out_stories),
    Model("little_hybrid", "little_hybrid", "little_hybrid_gpu", "little_hybrid_lpu", "b200_single", held_out_stories),
    Model("little_latent", "little_latent", "little_latent_gpu", "little_latent_lpu", "b200_single", held_out_stories),
]
REFUSALS = ("stores whole groups of", "not latents", "heads of a power of two")


def run_json(tandem, command, scenario, sets, *arguments):
    """The JSON that a command writes; None where a format or a policy refuses the model."""
    words = [str(tandem), command, scenario, *map(str, arguments), "--json", "-"]
    for key, value in sets.items():
        words += ["--set", f"{key}={value}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if any(refusal in done.stderr for refusal in REFUSALS):
        return None
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")
    return json.loads(done.stdout)


def precision(weights, activations="bfloat16", **more):
    """Overrides of a scenario's precision; the cache in bfloat16."""
    return {f"{PRECISION}.weights": weights, f"{PRECISION}.activations": activations,
            f"{PRECISION}.kv_cache": "bfloat16", **more}


WEIGHT_ONLY = ["bfloat16", "float16", "fp8", "fp8_channel", "fp8_group", "fp8_e5m2", "int8", "int8_g128", "mxfp8", "int4_g32",
               "int4_g128", "q4_0", "mxfp4", "nvfp4", "int2_g32", "int2_g128", "int1_g32", "int1_g128"]
PAIRS = [("fp8_channel", "fp8_channel"), ("fp8_block", "fp8_group"), ("int8", "int8"), ("mxfp8", "mxfp8"),
         ("int4_g128", "fp8_channel"), ("mxfp4", "mxfp8"), ("mxfp4", "mxfp4"), ("nvfp4", "nvfp4")]
MIXED = {
    "int2_g32, mixers int4_g32": f"[{{part: mixers, weights: int4_g32}}]",
    "int2_g32, layer 0 int8": f"[{{layers: 0, weights: int8}}]",
    "int2_g32, table int8": f"[{{part: embedding, weights: int8}}]",
}


def quality_rows():
    """Names of the rows of the quality table and the precision of each."""
    rows = {"float32": {f"{PRECISION}.{key}": "float32" for key in ("weights", "kv_cache", "activations")}}
    rows |= {f"{name}": precision(name) for name in WEIGHT_ONLY}
    rows |= {f"{weights} x {rows_in}": precision(weights, rows_in) for weights, rows_in in PAIRS}
    rows |= {name: precision("int2_g32", **{f"{PRECISION}.overrides": change}) for name, change in MIXED.items()}
    return rows


def perplexities(tandem, sets, known, *options):
    """Perplexity of every model of which none is known."""
    def perplexity(model):
        answer = model.score(tandem, sets, *options)
        return answer and answer["perplexity"]
    return {model.name: known[model.name] if model.name in known else perplexity(model) for model in MODELS}


SYSTEMS = {"H100": "llama8b_gpu", "B200": "llama8b_b200"}
LOAD = {"traffic.requests": 16, "traffic.concurrency": 8}
LONG_LOAD = {"traffic.requests": 8, "traffic.concurrency": 4, "traffic.prompt_tokens": 16384,
             "traffic.output_tokens": 64}


def costs(tandem, sets, known, figures_of):
    """What `figures_of` takes from a run of Llama-3.1-8B, on every system of which none are known."""
    figures = dict(known)
    for system, scenario in SYSTEMS.items():
        if system not in figures:
            figures[system] = figures_of(run_json(tandem, "run", scenario, sets, "--store", "none"))
    return figures


def measure_cost(tandem, name, known):
    """Time, memory and energy of formats of weights and rows."""
    weights, _, rows_in = name.partition(" x ")
    return costs(tandem, {**precision(weights, rows_in or "bfloat16"), **LOAD}, known, lambda result: {
        "tpot_ms": result["summary"]["tpot_ms"]["p50"],
        "weights_gb": result["pools"]["gpu"]["weight_bytes_per_chip"] / 1e9,
        "j_per_token": result["summary"]["energy_j_per_output_token"],
        "executed": result["pools"]["gpu"]["formats"],
    })


def measure_cache_cost(tandem, name, known):
    """The same of a KV format, or of a cache that keeps a share of a long prompt."""
    budgets = eviction_rows(LONG_LOAD["traffic.prompt_tokens"])
    sets = {**precision("bfloat16"), **budgets[name]} if name in budgets else cache_rows()[name]
    return costs(tandem, {**sets, **LONG_LOAD}, known, lambda result: {
        "itl_ms": result["summary"]["itl_ms"]["p50"],
        "request_mb": result["pools"]["gpu"]["kv_bytes_per_request"] / 1e6,
        "j_per_token": result["summary"]["energy_j_per_output_token"],
    })


def quality_cell(own, best):
    """A perplexity and what it is above the best one."""
    if own is None:
        return "refused | "
    share = own / best - 1
    return f"{own:.4f} | {100 * share:+.2f} %" if share < 1 else f"{own:.1f} | x {own / best:.1f}"


def with_rows_in(name):
    """A row of formats of weights, with what rows are kept in."""
    return name if " x " in name or name == "float32" else name + " x bfloat16"


def perplexity_lines(title, name_of=str):
    """Prints perplexities of the small models against those of the first row."""
    def lines(figures):
        """The table in Markdown."""
        names = [model.name for model in MODELS]
        table = [f"| {title} | " + " | ".join(f"{name} | above" for name in names) + " |",
                 "|---|" + "---:|---:|" * len(names)]
        base = next(iter(figures.values()))
        for name, row in figures.items():
            cells = [quality_cell(row[model], base[model]) for model in names]
            table.append(f"| {name_of(name)} | " + " | ".join(cells) + " |")
        return table
    return lines


def cost_lines(figures):
    """The table of costs in Markdown."""
    lines = ["| weights x activations | " + " | ".join(f"{s}: ms/token | GB | J/token" for s in SYSTEMS) + " |",
             "|---|" + "---:|---:|---:|" * len(SYSTEMS)]
    for name, row in figures.items():
        cells = []
        for system in SYSTEMS:
            own = row[system]
            kept = " (rows kept)" if " x " in name and not own["executed"].endswith(name.split(" x ")[1]) else ""
            cells.append(f"{own['tpot_ms']:.3f}{kept} | {own['weights_gb']:.2f} | {own['j_per_token']:.3f}")
        lines.append(f"| {with_rows_in(name)} | " + " | ".join(cells) + " |")
    return lines


KV_FORMATS = ["bfloat16", "float16", "fp8", "int8", "fp8_channel", "fp8_group", "int8_g128", "mxfp8", "turboquant_k8v4", "int4_g32",
              "q4_0", "mxfp4", "turboquant_4bit_nc", "int4_g128", "polarquant", "turboquant_k3v4_nc",
              "turboquant_3bit_nc", "int2_g32", "int2_g128"]
POLICIES, SHARES = {"streaming_llm": ", sinks: 4", "h2o": ""}, (50, 20, 10)
STORY_TOKENS = 190  # mean of the held-out stories, rounded to tens
EVICTED_STORIES = 8


def kept(policy, share, tokens):
    """The override that keeps a number of tokens: a share of a text of so many."""
    return {"serving.eviction": f"{{policy: {policy}, tokens: {tokens * share // 100}{POLICIES[policy]}}}"}


def growing(policy, share):
    """The override that keeps a share of the tokens so far."""
    return {"serving.eviction": f"{{policy: {policy}, budget: {share / 100}{POLICIES[policy]}}}"}


def cache_rows():
    """Rows of the table of KV formats and what each sets."""
    rows = {"float32": {f"{PRECISION}.{key}": "float32" for key in ("weights", "kv_cache", "activations")}}
    return rows | {name: precision("bfloat16", **{f"{PRECISION}.kv_cache": name}) for name in KV_FORMATS}


def eviction_rows(tokens):
    """Rows of a table of eviction for texts of so many tokens."""
    rows = {"all": {}}
    return rows | {f"{policy} {share} %": kept(policy, share, tokens) for policy in POLICIES for share in SHARES}


def story_rows():
    """Rows of the table of eviction: caches that keep a number of tokens, and a share of those so far."""
    rows = eviction_rows(STORY_TOKENS)
    return rows | {f"{policy} `budget` {share / 100}": growing(policy, share) for policy in POLICIES for share in SHARES}


def cache_cost_lines(figures):
    """The table of costs of caches in Markdown."""
    lines = ["| cache | " + " | ".join(f"{s}: ms/token | MB/request | J/token" for s in SYSTEMS) + " |",
             "|---|" + "---:|---:|---:|" * len(SYSTEMS)]
    for name, row in figures.items():
        cells = [f"{row[s]['itl_ms']:.3f} | {row[s]['request_mb']:.1f} | {row[s]['j_per_token']:.3f}"
                 for s in SYSTEMS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


LPU_STORIES = 4


def lpu_rows():
    """Rows of the table of LPUs and the precision of each: weights, cache, and what rows are rounded to."""
    def elements(weights, cache, activations, more=""):
        return {PRECISION: f"{{weights: {weights}, kv_cache: {cache}, activations: {activations}{more}}}"}
    expanded = ", expand: load"
    return {"float16, KV float16": elements("float16", "float16", "float16"),
            "bfloat16, KV bfloat16": elements("bfloat16", "bfloat16", "bfloat16"),
            "fp8, KV float16": elements("fp8", "float16", "fp8"),
            "fp8, KV fp8": elements("fp8", "fp8", "fp8"),
            "int8, expanded, KV float16": elements("int8", "float16", "float16", expanded),
            "int4_g32, expanded, KV float16": elements("int4_g32", "float16", "float16", expanded),
            "mxfp4, expanded, KV float16": elements("mxfp4", "float16", "float16", expanded)}


def measure_lpu(tandem, name, known):
    """Perplexity on LPUs of every model of which none is known."""
    def perplexity(model):
        answer = model.score(tandem, lpu_rows()[name], "--documents", LPU_STORIES, scenario=model.on_lpu)
        return answer and answer["perplexity"]
    return {model.name: known[model.name] if model.name in known else perplexity(model) for model in MODELS}


LPU_POOL = "{{pool: lpu, pipeline: 28, head_chips: 3, precision: {precision}}}"


def measure_lpu_cost(tandem, name, known):
    """Time, memory and energy of formats on LPUs."""
    if known:
        return known
    sets = {"model": "llama-3.2-3b", "placement.decode": LPU_POOL.format(precision=lpu_rows()[name][PRECISION]), **LOAD}
    result = run_json(tandem, "run", "llama8b_hybrid", sets, "--store", "none")
    pool = result["pools"]["decode"]
    return {"tpot_ms": result["summary"]["tpot_ms"]["p50"], "weights_gb": pool["weight_bytes_per_chip"] / 1e9,
            "request_mb": pool["kv_bytes_per_request"] / 1e6, "j_per_token": result["summary"]["energy_j_per_output_token"]}


def lpu_cost_lines(figures):
    """The table of costs on LPUs in Markdown."""
    lines = ["| weights, cache | ms/token | GB | MB/request | J/token |", "|---|---:|---:|---:|---:|"]
    for name, own in figures.items():
        lines.append(f"| {name} | {own['tpot_ms']:.3f} | {own['weights_gb']:.2f} | {own['request_mb']:.2f} |"
                     f" {own['j_per_token']:.3f} |")
    return lines


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
