"""Rows of the tables of docs/quality.md: models, formats, what a row measures and how it is printed."""

import json
import pathlib
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Callable

from small_model import tales

ROOT = pathlib.Path(__file__).resolve().parent.parent
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
