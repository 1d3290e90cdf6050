"""e2e/trtllm_perf_overview.csv: most tokens per second of one TensorRT-LLM engine (trtllm-bench)."""

import csv
import re

from .cases import Case, scenario
from .inferencex import precision

MODELS = {"Llama-3.3-70B": "llama-3.1-70b", "Llama-3.1-8B": "llama-3.1-8b", "DeepSeek-R1-0528": "deepseek-r1",
          "gpt-oss-120b": "gpt-oss-120b"}
CHIPS = {"B200": ("b200_sxm", "dgx_b200", 192e9), "H200": ("h200_sxm", "dgx_h200", 141e9),
         "H100": ("h100_sxm", "dgx_h100", 80e9)}
# Bytes of weights and of one token's cache: of these checkpoints, with a cache in fp8.
WEIGHTS = {"llama-3.1-70b": {"FP4": 43e9, "FP8": 73e9}, "llama-3.1-8b": {"FP8": 9.1e9},
           "deepseek-r1": {"FP4": 395e9, "FP8": 690e9}, "gpt-oss-120b": {"FP4": 66e9, "FP8": 66e9}}
TOKEN = {"llama-3.1-70b": 163840, "llama-3.1-8b": 65536, "deepseek-r1": 35136, "gpt-oss-120b": 36864}
MOST_SEQUENCES = 2048
MAX_BATCH_TOKENS = 8192


def cases(data):
    """All rows as cases."""
    with (data / "e2e" / "trtllm_perf_overview.csv").open() as rows:
        return [case_of(index, row) for index, row in enumerate(csv.DictReader(rows))]


def case_of(index, row):
    gpu, system, memory = CHIPS[row["gpu"]]
    model, gpus = MODELS[row["model"]], int(row["num_gpus"])
    isl, osl = int(row["isl"]), int(row["osl"])
    per_gpu = "per GPU" in row["unit"]
    name = "mxfp4" if model == "gpt-oss-120b" else row["precision"].lower()
    case = Case("trtllm", str(index), model, gpu, "TensorRT-LLM", name,
                {"throughput": float(row["value"]) * (gpus if per_gpu else 1)}, statistic="saturated")
    users = sequences(model, row["precision"], gpus, memory, isl + osl, "DEP" in row["parallel"])
    case.facts = {"isl": isl, "osl": osl, "concurrency": users, "gpus": gpus}
    groups = {"attention_data": gpus, "expert": gpus} if "DEP" in row["parallel"] else {"tensor": gpus}
    newer = re.search(r"newer", row["source"])
    numbers = {**precision(model, name, gpu, "TensorRT-LLM"), "kv_cache": "fp8"}
    case.scenario = scenario(
        model, system, {"mode": "monolithic", "pool": "gpu", **groups, "precision": numbers},
        {"policy": "vllm_v1", "max_batch_tokens": MAX_BATCH_TOKENS, "max_sequences": MOST_SEQUENCES * gpus,
         "kv_block_tokens": 32, "prefix_cache": False}, "tensorrt_llm" if newer else "tensorrt_llm_1_0",
        {"arrivals": "closed", "concurrency": users, "prompt_tokens": isl, "output_tokens": osl,
         "requests": 2 * users + users // 2})
    return case


def sequences(model, narrow, gpus, memory, length, groups):
    """Requests whose whole answers fit: nine tenths of the memory that weights leave, 2,048 per group at most."""
    room = 0.9 * (0.95 * memory * gpus - WEIGHTS[model][narrow])
    most = MOST_SEQUENCES * (gpus if groups else 1)
    return max(1, min(most, int(room / (TOKEN[model] * length))))
