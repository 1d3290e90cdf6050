"""The page: per table and group how many rows were predicted, how far off, and what was left out."""

import collections
import statistics

HEAD = """# Measured services

Made by `scripts/services_page.py`; do not edit. Rows of services that others measured, beside what the simulator predicts from the row's model, GPUs, engine and load. A ratio is predicted over measured; MAPE is the mean of |ratio - 1|. What of a software layer was fitted to a half of some of these tables stands in its file (`hw_configs/software`).

"""

NOTES = {
    "log": """## A log of 300 requests

vLLM 0.19.0 serves Llama 3.1 8B on one RTX PRO 6000; the requests arrive as they did.""",
    "inferencex": """## InferenceX: time to the first token and per output token

Means over closed loops whose users begin at once; engines are set as the benchmark's scripts set them. Rows of InferenceX have ten requests per user, of lengths drawn from 0.8 to 1.0 times those named, other rows (Qwen3 32B and Llama 3.1 8B) requests of one length. Disaggregated rows that do not say how many engines there are have those that the benchmark's authors published for their load, where these are one; rows whose scripts ask for multi-token prediction draft. Here there are ten per user up to 8 users, then five (three where answers have 8,192 tokens), and the first round keeps its weight of a tenth. A row that comes several times in the table counts as often.""",
    "minimax": """## InferenceX: MiniMax M2.5 on eight H200

Closed loops of vLLM over lengths of prompts and answers.""",
    "trtllm": """## TensorRT-LLM: most output tokens per second

`trtllm-bench throughput` as the table's authors describe it: 1,000 to 30,000 requests of one length sent at once, answers' tokens over the time until the last one ends. Batches and steps are as large as the benchmark's heuristics make them; a request begins once the cache has room for its whole length.""",
    "splitwise": """## Splitwise: Llama 2 70B, static batches

vLLM of 2023 in half precision, without CUDA graphs. Rows that were cut off (more than 1,024 tokens) or split by the engine (64 prompts on two GPUs) are left out.""",
    "argonne": """## ALCF LLM-Inference-Bench: static batches

vLLM, TensorRT-LLM and DeepSpeed-MII of 2024 in half precision; the A100 are those of Polaris (40 GB, four to a node).""",
}


def page(tables, number, seed, before="", covered=None):
    """The whole page. `tables`: name -> (all cases, the chosen ones with predictions); sections of other tables are
    taken from `before`. `covered`: name -> counts of tables.coverage()."""
    if number is None:
        rows = "Every row was run."
    else:
        rows = f"About {number} rows per table (more of those that take no time), drawn with seed {seed} in proportion to their groups."
    kept = {text.split("\n")[0]: "## " + text.rstrip("\n") + "\n" for text in before.split("\n## ")[1:]}
    parts = [HEAD + rows + "\n"]
    for name, note in NOTES.items():
        heading = note.split("\n")[0].removeprefix("## ")
        if name in tables:
            parts.append(section(name, *tables[name], (covered or {}).get(name)))
        elif heading in kept:
            parts.append(kept[heading])
    return "\n".join(parts)


def section(name, every, chosen, covered=None):
    """One table's part of the page."""
    parts = [NOTES[name] + "\n", *([coverage(covered)] if covered else []), left_out(every, chosen)]
    parts.append(single(chosen[0]) if name == "log" else grouped(chosen))
    if name == "inferencex":
        parts.append(by_load(chosen))
    return "\n".join(parts)


def left_out(every, chosen):
    """A line on rows and the reasons why some are without a prediction."""
    reasons = collections.Counter(case.reason for case in chosen if not case.predicted)
    done = sum(bool(case.predicted) for case in chosen)
    text = f"{len(every)} rows, {len(chosen)} drawn, {done} predicted."
    if reasons:
        text += " Left out: " + "; ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) + "."
    return text + "\n"


def coverage(covered):
    """A line on the rows of the whole table that stand for a scenario."""
    number = sum(covered.values())
    others = "; ".join(f"{count} {reason}" for reason, count in covered.most_common() if reason)
    text = f"Of all {number} rows {covered['']} ({100 * covered[''] / number:.1f} %) stand for a scenario"
    return text + (f"; not: {others}." if others else ".") + "\n"


def table(head, rows):
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}",
                      *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""])


def single(case):
    """Every figure of one case."""
    rows = [(name.replace("_", " "), f"{value:.1f}", f"{case.predicted[name]:.1f}",
             f"{case.predicted[name] / value:.3f}") for name, value in case.measured.items() if name in case.predicted]
    return table(["figure (ms; makespan s)", "measured", "predicted", "ratio"], rows)


def ratios(cases, metric):
    """Predicted over measured of all cases that have both."""
    return [case.predicted[metric] / case.measured[metric] for case in cases
            if case.predicted.get(metric) and case.measured.get(metric)]


def errors(values):
    """MAPE in percent, median and mean ratio, as text; dashes where there is nothing."""
    if not values:
        return ["-", "-", "-"]
    mape = 100 * sum(abs(value - 1) for value in values) / len(values)
    return [f"{mape:.1f} %", f"{statistics.median(values):.2f}", f"{statistics.mean(values):.2f}"]


def grouped(chosen):
    """Errors per group of which a row was predicted, then per engine, then of all."""
    metrics = sorted({metric for case in chosen for metric in case.measured}, reverse=True)
    head = ["model", "GPU", "format", "engine", "drawn", "predicted"]
    for metric in metrics:
        head += [f"{metric} MAPE", "median ratio", "mean ratio"]
    groups = collections.defaultdict(list)
    for case in chosen:
        groups[case.key()].append(case)
        groups[("all", "", "", case.backend)].append(case)
        groups[("all", "", "", "")].append(case)
    rows = []
    for key in sorted(groups, key=lambda key: (key[0] == "all", key[3] == "", key)):
        cases = groups[key]
        if key[0] != "all" and not any(case.predicted for case in cases):
            continue
        row = [*key, len(cases), sum(bool(case.predicted) for case in cases)]
        for metric in metrics:
            row += errors(ratios(cases, metric))
        rows.append(row)
    return table(head, rows)


def by_load(chosen):
    """Ratios per engine and number of users."""
    edges = [(1, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 10**6)]
    rows = []
    for backend in sorted({case.backend for case in chosen}):
        for low, high in edges:
            cases = [case for case in chosen if case.backend == backend and case.predicted
                     and low <= case.users <= high]
            if cases:
                users = f"{low} to {high}" if high < 10**6 else f"{low} and more"
                rows.append([backend, users, len(cases), *errors(ratios(cases, "tpot")),
                             *errors(ratios(cases, "ttft"))])
    return table(["engine", "users", "predicted", "tpot MAPE", "median ratio", "mean ratio", "ttft MAPE",
                  "median ratio", "mean ratio"], rows)
