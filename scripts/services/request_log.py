"""A log of requests, replayed as they arrived: figures over all of them."""

import csv
import json
import pathlib
import subprocess
import tempfile

from .cases import Case

FILE = "e2e/vllm_real_runs/RTXPRO6000_Llama-3.1-8B_requests.jsonl"
NO_WAIT_S = 0.005  # queued_ts and scheduled_ts of requests that found room differ by less
SCENARIO = """kind: scenario
model: llama-3.1-8b
system: rtx_pro_6000_pair
placement: {{mode: monolithic, pool: gpu, precision: {{weights: bfloat16, kv_cache: bfloat16, activations: bfloat16}}}}
serving: {{policy: vllm_v1, max_batch_tokens: 2048, max_sequences: 128, kv_block_tokens: 16}}
software: vllm
traffic: {{arrivals: trace, trace: {{file: {file}, arrival: arrival_time, prompt: input_toks, output: output_toks}}}}
audit_steps: 0
"""


def cases_of(data):
    """The log as one case."""
    case = Case("log", FILE, 1, "", "llama-3.1-8b", "rtx_pro_6000", "bfloat16", "vLLM")
    case.measured = measured(requests_of(data))
    return [case]


def requests_of(data):
    """What the log has of each request."""
    return [json.loads(line) for line in (data / FILE).read_text().splitlines()]


def predict(case, tandem, data, store=None):
    """Runs the log's requests."""
    with tempfile.TemporaryDirectory() as folder:
        scenario, table = pathlib.Path(folder) / "log.yaml", pathlib.Path(folder) / "requests.csv"
        scenario.write_text(SCENARIO.format(file=(data / FILE).resolve()))
        command = ["nice", tandem, "run", str(scenario), "--requests", str(table), "--store", store or "none"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with table.open(newline="") as text:
            rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(text)]
    case.predicted = predicted(rows, without_wait(requests_of(data)))


def without_wait(requests):
    """Whether each request was scheduled at once."""
    return [request["scheduled_ts"] - request["queued_ts"] < NO_WAIT_S for request in requests]


def figures(series, makespan_s, at_once):
    """Means, medians and 99th percentiles in ms; makespan in s."""
    found = {"makespan": makespan_s}
    for name, values in series.items():
        ordered = sorted(values)
        found.update({f"{name}_mean": sum(values) / len(values), f"{name}_p50": percentile(ordered, 50),
                      f"{name}_p99": percentile(ordered, 99)})
    quick = [value for value, is_quick in zip(series["ttft"], at_once) if is_quick]
    found["ttft_without_wait"] = sum(quick) / len(quick)
    return found


def measured(requests):
    """Figures of the log."""
    makespan = max(r["last_token_ts"] for r in requests) - min(r["queued_ts"] for r in requests)
    series = {"ttft": [(r["first_token_ts"] - r["queued_ts"]) * 1e3 for r in requests],
              "tpot": [(r["last_token_ts"] - r["first_token_ts"]) * 1e3 / max(1, r["output_toks"] - 1)
                       for r in requests],
              "e2e": [(r["last_token_ts"] - r["queued_ts"]) * 1e3 for r in requests]}
    return figures(series, makespan, without_wait(requests))


def predicted(rows, at_once):
    """Figures of a run's requests."""
    ordered = sorted(rows, key=lambda row: row["id"])
    end = max(row["arrival_s"] + row["e2e_ms"] / 1e3 for row in ordered)
    series = {name: [row[f"{name}_ms"] for row in ordered] for name in ("ttft", "tpot", "e2e")}
    return figures(series, end - min(row["arrival_s"] for row in ordered), at_once)


def percentile(values, part):
    """Of sorted values, linear between neighbours."""
    place = (len(values) - 1) * part / 100
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)
