#!/usr/bin/python3
"""Writes docs/claims.md: published claims on techniques that cut the cost of inference, beside what
the simulator gives for the same change on the same system.

Every figure comes from a run that this script makes (four minutes). A verdict compares the figure with
the range that the claim names.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "claims.md"

INTRO = """# Claims on techniques

Made by `scripts/claims_page.py`; do not edit. Each claim is tested by changing one thing on one system and running both. Llama 3.1 70B stands on a DGX H100 (`llama70b_gpu`: eight GPUs, bfloat16, prompts of 1,024 tokens, answers of 256) where nothing else is said. "Holds" and "does not hold" are about the range that the claim names, on this system; claims that name no conditions are tested at one user and at many.
"""


class Runs:
    """Runs of scenarios, each once."""

    def __init__(self, tandem):
        self.tandem, self.results = tandem, {}
        self.store = tempfile.TemporaryDirectory()

    def run(self, scenario, **changes):
        """The JSON result of a scenario with `changes` (dots in keys written as __)."""
        words = [f"{key.replace('__', '.')}={value}" for key, value in changes.items()]
        key = (scenario, *words)
        if key not in self.results:
            sets = [part for word in words for part in ("--set", word)]
            command = [self.tandem, "run", scenario, *sets, "--json", "-", "--store", self.store.name]
            done = subprocess.run(command, text=True, capture_output=True)
            if done.returncode != 0:
                raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
            self.results[key] = json.loads(done.stdout[done.stdout.index("{"):])
        return self.results[key]

    def refusal(self, scenario, **changes):
        """The error of a scenario that cannot run, or nothing."""
        sets = [part for key, value in changes.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]
        done = subprocess.run([self.tandem, "run", scenario, *sets, "--store", self.store.name], text=True,
                              capture_output=True)
        return done.stderr.splitlines()[0] if done.returncode == 2 else ""


def rate(result):
    return result["summary"]["output_tokens_per_s"]


def tpot(result):
    return result["summary"]["tpot_ms"]["mean"]


def verdict(value, low, high, unit="x"):
    """Where a figure lies beside the range of a claim."""
    claimed = f"{low:g}{unit}" if low == high else f"{low:g} to {high:g}{unit}"
    if low * 0.95 <= value <= high * 1.05:
        return f"claimed {claimed}, found {value:.2f}{unit}: holds"
    return f"claimed {claimed}, found {value:.2f}{unit}: {'less' if value < low else 'more'} than claimed"


def table(head, rows):
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}",
            *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]


DRAFTS = {"draft_model": "llama-3.2-3b", "speculation": "{method: draft_model, drafts: 3, acceptance: 0.7}"}
NARROW = {"placement__precision__weights": "int4_g128"}


def load(users):
    return {"traffic__concurrency": users, "traffic__requests": 3 * users}


def compound(runs):
    """Claims 17, 18 and 35: gains that are multiplied."""
    few, many = load(1), load(64)
    base = rate(runs.run("llama70b_gpu", **few))
    rows, gains = [], {}
    for weights, narrow in (("bfloat16", {}), ("int4_g128", NARROW)):
        for drafts, drafted in (("none", {}), ("3, 0.7 accepted", DRAFTS)):
            ones = runs.run("llama70b_gpu", **few, **narrow, **drafted)
            lots = runs.run("llama70b_gpu", **many, **narrow, **drafted)
            gains[bool(narrow), bool(drafted)] = (rate(ones) / base, rate(lots) / base)
            rows.append((weights, drafts, f"{tpot(ones):.2f}", f"{rate(ones) / base:.2f}", f"{tpot(lots):.2f}",
                         f"{rate(lots) / base:.1f}"))
    quantised, speculated, batched = gains[True, False][0], gains[False, True][0], gains[False, False][1]
    product = quantised * speculated * batched
    joint = gains[True, True][1]
    at_many = gains[True, False][1] / batched
    spec_many = gains[False, True][1] / batched
    return ["## Gains that are multiplied", "",
            "*\"16x = 4x quantisation, 2x batching, 2x speculation\"; \"quantisation cuts cost by 60 to 70 %\"; "
            "\"speculation: 2 to 3x latency, 2x throughput\"; \"80 to 160x compound\".* Throughput over one user "
            "without either.", "",
            *table(("weights", "drafts (Llama 3.2 3B)", "1 user: ms/token", "gain", "64 users: ms/token", "gain"), rows),
            f"- Quantisation to 4 bits: {verdict(quantised, 4, 4)} at one user; {at_many:.2f}x at 64. Cost per token "
            f"falls by {100 * (1 - 1 / quantised):.0f} % and {100 * (1 - 1 / at_many):.0f} %: "
            f"{'holds' if 0.57 <= 1 - 1 / quantised <= 0.735 else 'less than the 60 to 70 % claimed'} at one user, "
            f"{'holds' if 0.57 <= 1 - 1 / at_many <= 0.735 else 'less than claimed'} at 64.",
            f"- Speculation: latency {verdict(speculated, 2, 3)} at one user; throughput at 64 users "
            f"{verdict(spec_many, 2, 2)}.",
            f"- Batching: 64 users give {batched:.1f}x the tokens of one; it is the largest factor by far, and every "
            "server has it already.",
            f"- Compound: the three factors by themselves multiply to {product:.0f}x, together they give {joint:.0f}x "
            f"({joint / product:.2f} of the product). Beside a server that batches, quantisation is worth "
            f"{at_many:.2f}x; with drafts besides it is {joint / batched:.2f}x.", ""]


def longer_drafts(runs):
    """Claim 26: drafts of 10 to 20 tokens."""
    base = tpot(runs.run("llama70b_gpu", **load(1)))
    rows, best = [], (0, 0)
    for drafts in (1, 2, 4, 6, 8, 12, 16):
        speculation = f"{{method: draft_model, drafts: {drafts}, acceptance: 0.8}}"
        result = runs.run("llama70b_gpu", **load(1), draft_model="llama-3.2-3b", speculation=speculation)
        gain = base / tpot(result)
        best = max(best, (gain, drafts))
        rows.append((drafts, f"{(1 - 0.8 ** (drafts + 1)) / 0.2:.2f}", f"{tpot(result):.2f}", f"{gain:.2f}"))
    return ["## Drafts of 10 to 20 tokens", "",
            "*\"Draft 10 to 20 tokens, review 10x faster.\"* One user, four of five drafts right.", "",
            *table(("drafts", "tokens per round, closed form", "ms/token", "gain"), rows),
            f"- Best with {best[1]} drafts: {verdict(best[0], 10, 10)}. No draft length passes 1 / (1 - 0.8) = 5 tokens "
            "per round.", ""]


def cooperating(runs):
    """Claims 19 and 20: answers that share a prompt."""
    rows, ratios = [], []
    for prompt in (256, 1024, 4096, 16384):
        size = {"traffic__prompt_tokens": prompt, "traffic__output_tokens": 256}
        one = runs.run("llama70b_gpu", **size, traffic__concurrency=32, traffic__requests=96)
        cells = [prompt]
        for answers, users in ((4, 8), (10, 3)):
            group = runs.run("llama70b_gpu", **size, traffic__concurrency=users, traffic__requests=3 * users,
                             traffic__branches=answers)
            ratio = group["groups"]["usd_per_group"] / one["summary"]["usd_per_hour"] * 3600 * one["summary"]["requests_per_s"]
            cells.append(f"{ratio:.2f}")
            if answers == 4:
                ratios.append(ratio)
        rows.append(cells)
    within = [f"{row[0]:,}" for row, ratio in zip(rows, ratios) if 1.5 <= ratio <= 2.5]
    held = f"holds for prompts of {' and '.join(within)} tokens" if within else "holds for none of these"
    return ["## Answers that share a prompt", "",
            "*\"Four cooperating models cost 1.5 to 2.5x, not 4x\"; \"ten candidates become viable\".* Cost of a group "
            "over that of one request in a server of as many sequences (32; 30 with ten), answers of 256 tokens.", "",
            *table(("prompt tokens", "4 answers", "10 answers"), rows),
            f"- Four answers: {held}; decoding is not shared, so short prompts come near 4x.", ""]


def discussing(runs):
    size = {"traffic__prompt_tokens": 64, "traffic__output_tokens": 256, "traffic__shared_prefix_tokens": 4096}
    one = runs.run("llama70b_gpu", traffic__prompt_tokens=4160, traffic__output_tokens=256, traffic__concurrency=32,
                   traffic__requests=96)
    alone = one["summary"]["usd_per_hour"] / 3600 / one["summary"]["requests_per_s"]
    rows = []
    for rounds in (1, 2, 3):
        group = runs.run("llama70b_gpu", **size, traffic__agents=4, traffic__rounds=rounds, traffic__concurrency=8,
                         traffic__requests=24)
        rows.append((rounds, f"{group['groups']['usd_per_group'] / alone:.2f}"))
    return ["Four agents behind a prefix of 4,096 tokens, each answering with what all wrote the time before in its "
            "prompt; cost over one answer:", "", *table(("rounds", "cost"), rows)]


def narrow_cache(runs):
    """Claims 15 and 16: TurboQuant."""
    rows, bytes_of, times = [], {}, {}
    for name in ("bfloat16", "fp8", "int4_g128", "turboquant_4bit_nc", "turboquant_3bit_nc"):
        result = runs.run("llama8b_gpu", traffic__prompt_tokens=32000, traffic__output_tokens=64, traffic__concurrency=8,
                          traffic__requests=16, placement__precision__kv_cache=name)
        pool = result["pools"]["gpu"]
        bytes_of[name] = pool["kv_bytes_per_request"]
        times[name] = result["summary"]["itl_ms"]["p50"]
        rows.append((name, f"{bytes_of['bfloat16'] / bytes_of[name]:.2f}", f"{times[name]:.2f}",
                     f"{times['bfloat16'] / times[name]:.2f}"))
    least = bytes_of["bfloat16"] / bytes_of["turboquant_3bit_nc"]
    speed = times["bfloat16"] / times["turboquant_3bit_nc"]
    return ["## A cache of three bits", "",
            "*\"TurboQuant: 6x less memory, 8x faster, no loss\"; \"30 to 60x with routing by cache\".* Llama 3.1 8B on one "
            "H100, eight users with 32,000 tokens each; median time between tokens.", "",
            *table(("cache", "memory saved", "ms/token", "gain"), rows),
            f"- Memory: {verdict(least, 6, 6)}; norms are stored beside the codes.",
            f"- Speed: {verdict(speed, 8, 8)}; weights are still read, and decoding the slots runs on CUDA "
            "cores (docs/decisions/kv_formats.md).",
            "- Loss: docs/quality.md has the perplexities of three small models.",
            "- Routing requests to where their prefix is cached raises hits; it makes no cache smaller, so it does not "
            "multiply.", ""]


def evicted(runs):
    """Claim 27: most of a cache thrown away."""
    rows = []
    prompt = 16000
    for share in (1, 0.5, 0.2, 0.1):
        cells = [f"{100 * share:.0f} %"]
        for policy in ("streaming_llm", "h2o"):
            changes = {} if share == 1 else {
                "serving__eviction": f"{{policy: {policy}, tokens: {int(share * prompt)}}}"}
            result = runs.run("llama8b_gpu", traffic__prompt_tokens=prompt, traffic__output_tokens=64,
                              traffic__concurrency=8, traffic__requests=16, **changes)
            cells.append(f"{result['summary']['itl_ms']['p50']:.2f}")
        rows.append(cells)
    return ["## Nine tenths of a cache thrown away", "",
            "*\"KV memory -90 % by H2O and StreamingLLM.\"* Llama 3.1 8B on one H100, eight users with 16,000 tokens each; "
            "median ms between tokens.", "",
            *table(("tokens kept", "StreamingLLM", "H2O"), rows),
            "- Memory falls as claimed, by construction. What it costs in quality is in docs/quality.md: at 10 % both lose "
            "far more than any format of the cache does.", ""]


def one_gpu(runs):
    """Claim 21: 70B on one H100."""
    rows = []
    for weights in ("bfloat16", "fp8_channel", "int4_g128"):
        for users in (2, 8, 16):
            changes = {"system": "h100_single", "placement__tensor": 1, "placement__precision__weights": weights,
                       "placement__precision__kv_cache": "fp8", "traffic__prompt_tokens": 7000, "traffic__output_tokens": 1000,
                       "traffic__concurrency": users, "traffic__requests": 2 * users}
            error = runs.refusal("llama70b_gpu", **changes)
            if error:
                rows.append((weights, users, "does not fit", ""))
                break
            result = runs.run("llama70b_gpu", **changes)
            rows.append((weights, users, f"{tpot(result):.1f}", min(users, result["pools"]["gpu"]["kv_slots"])))
    most = max((row[3] for row in rows if isinstance(row[3], int)), default=0)
    return ["## 70B for ten users on one GPU", "",
            "*\"One H100 serves 10 to 20 users of a 70B model instead of 2 to 3.\"* Requests of 8,000 tokens, cache in fp8.", "",
            *table(("weights", "users", "ms/token", "at once in memory"), rows),
            f"- {most} users at once with four bits: {'holds' if 10 <= most else 'fewer than claimed'}, and only with them.", ""]


PARTS = {part.__name__: part for part in
         (compound, longer_drafts, cooperating, discussing, narrow_cache, evicted, one_gpu)}


def page(runs):
    lines = [INTRO]
    for part in PARTS.values():
        lines += part(runs)
    return "\n".join(lines).rstrip() + "\n"


def stands(runs, names):
    """Whether the page has what the parts say now; all parts: whether it is nothing but them."""
    text = PAGE.read_text()
    if not names:
        return text == page(runs)
    return all("\n".join(PARTS[name](runs)).rstrip() in text for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", default=str(ROOT / "build/release/sim/entry/tandem"))
    parser.add_argument("--check", action="store_true", help="compare with the page instead of writing it")
    parser.add_argument("--part", action="append", choices=PARTS, default=[], help="check these alone, in less time")
    arguments = parser.parse_args()
    runs = Runs(str(pathlib.Path(arguments.tandem).resolve()))
    if not arguments.check:
        PAGE.write_text(page(runs))
    elif not stands(runs, arguments.part):
        sys.exit("docs/claims.md differs; run scripts/claims_page.py and look at what moved")


if __name__ == "__main__":
    main()
