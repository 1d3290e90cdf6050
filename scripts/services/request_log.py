"""e2e/vllm_real_runs: the log of 300 requests through vLLM 0.19.0 on one RTX PRO 6000."""

import json

from .cases import Case, scenario
from .simulation import percentile

# queued_ts and scheduled_ts of requests that found room differ by less.
NO_WAIT_S = 0.005


def cases(data):
    """One case: the whole log."""
    file = data / "e2e" / "vllm_real_runs" / "RTXPRO6000_Llama-3.1-8B_requests.jsonl"
    requests = [json.loads(line) for line in file.read_text().splitlines()]
    case = Case("log", "vllm_real_runs", "llama-3.1-8b", "rtx_pro_6000", "vLLM", "bfloat16", measured(requests),
                statistic="log")
    case.facts["unwaited"] = [index for index, request in enumerate(requests)
                              if request["scheduled_ts"] - request["queued_ts"] < NO_WAIT_S]
    numbers = {"weights": "bfloat16", "kv_cache": "bfloat16", "activations": "bfloat16"}
    case.scenario = scenario(
        "llama-3.1-8b", "rtx_pro_6000_pair", {"mode": "monolithic", "pool": "gpu", "precision": numbers},
        {"policy": "vllm_v1", "max_batch_tokens": 2048, "max_sequences": 128, "kv_block_tokens": 16}, "vllm",
        {"arrivals": "trace", "trace": {"file": file.resolve(), "arrival": "arrival_time", "prompt": "input_toks",
                                        "output": "output_toks"}})
    return [case]


def measured(requests):
    """Figures of the log in ms; makespan in s."""
    found = {"makespan": max(r["last_token_ts"] for r in requests) - min(r["queued_ts"] for r in requests)}
    series = {"ttft": [(r["first_token_ts"] - r["queued_ts"]) * 1e3 for r in requests],
              "tpot": [(r["last_token_ts"] - r["first_token_ts"]) * 1e3 / max(1, r["output_toks"] - 1)
                       for r in requests],
              "e2e": [(r["last_token_ts"] - r["queued_ts"]) * 1e3 for r in requests]}
    for name, values in series.items():
        ordered = sorted(values)
        found.update({f"{name}_mean": sum(values) / len(values), f"{name}_p50": percentile(ordered, 50),
                      f"{name}_p99": percentile(ordered, 99)})
    quick = [value for value, r in zip(series["ttft"], requests) if r["scheduled_ts"] - r["queued_ts"] < NO_WAIT_S]
    found["ttft_without_wait"] = sum(quick) / len(quick)
    return found
