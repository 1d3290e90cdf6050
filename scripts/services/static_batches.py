"""Tables of static batches: Splitwise's characterisation of Llama 2 70B (2023) and ALCF's
LLM-Inference-Bench (2024)."""

import csv

from .cases import Case, scenario

ARGONNE_MODELS = {"meta-llama/Llama-2-7b-hf": "llama-2-7b", "meta-llama/Llama-2-70b-hf": "llama-2-70b",
                  "meta-llama/Meta-Llama-3-8B": "llama-3.1-8b", "meta-llama/Meta-Llama-3-70B": "llama-3.1-70b",
                  "mistralai/Mistral-7B-v0.1": "mistral-7b-v0.1", "mistralai/Mixtral-8x7B-v0.1": "mixtral-8x7b"}
ARGONNE_SYSTEMS = {"Nvidia A100 GPU": ("a100_sxm_40gb", "polaris_node"), "Nvidia H100 GPU": ("h100_sxm", "dgx_h100")}
ENGINES = {"vLLM": "vllm", "TensorRT-LLM": "tensorrt_llm"}
SPLITWISE_SYSTEMS = {"a100-80gb": ("a100_sxm", "dgx_a100"), "h100-80gb": ("h100_sxm", "dgx_h100")}
HALF = {"weights": "float16", "kv_cache": "float16", "activations": "float16"}


def batch(model, system, gpus, software, size, prompt, output):
    """Trace and scenario of one batch whose prompts are computed together."""
    trace = "arrival_s,prompt_tokens,output_tokens\n" + f"0,{prompt},{output}\n" * size
    return trace, scenario({"name": model, "max_context": 32768}, system,
                    {"mode": "monolithic", "pool": "gpu", "tensor": gpus, "precision": HALF},
                    {"policy": "static", "max_batch_tokens": max(8192, size * prompt), "max_sequences": size,
                     "kv_block_tokens": 16, "prefix_cache": False}, software,
                    {"arrivals": "trace", "trace": {"file": "trace.csv"}})


def splitwise(data):
    """Prompt and token times in ms of vLLM without CUDA graphs."""
    with (data / "e2e" / "splitwise_perf_llama2_70b.csv").open() as rows:
        return [splitwise_case(index, row) for index, row in enumerate(csv.DictReader(rows))]


def splitwise_case(index, row):
    gpu, system = SPLITWISE_SYSTEMS[row["hardware"]]
    size, gpus = int(row["batch_size"]), int(row["tensor_parallel"])
    prompt, output = int(row["prompt_size"]), int(row["token_size"])
    case = Case("splitwise", str(index), "llama-2-70b", gpu, "vLLM 2023", "float16",
                {"ttft": float(row["prompt_time"]), "tpot": float(row["token_time"])}, statistic="static")
    case.facts = {"isl": prompt, "osl": output, "concurrency": size, "gpus": gpus}
    if output > 1024 or size == 64 and gpus == 2:
        case.reason = "time of the row is not that of its tokens (cut off, or several batches)"
        return case
    case.trace, case.scenario = batch("llama-2-70b", system, gpus, "vllm", size, prompt, output)
    return case


def argonne(data):
    """Seconds per batch, and seconds to the first token."""
    folder = data / "e2e"
    with (folder / "argonne_llm_inference_bench_a100_h100.csv").open() as rows:
        found = [argonne_case(index, row) for index, row in enumerate(csv.DictReader(rows))]
    with (folder / "argonne_ttft_itl.csv").open() as rows:
        found += [argonne_first(index, row) for index, row in enumerate(csv.DictReader(rows))]
    return found


def argonne_frame(name, row, prompt, output):
    """A case of either file without its measured figures."""
    gpu, system = ARGONNE_SYSTEMS[row["Hardware"]]
    model, size, gpus = ARGONNE_MODELS.get(row["Model"]), int(row["Batch Size"]), int(row["Num of Hardware"])
    case = Case("argonne", name, model or row["Model"], gpu, row["Framework"], "float16", {}, statistic="static")
    case.facts = {"isl": prompt, "osl": output, "concurrency": size, "gpus": gpus}
    if row["Framework"] not in ENGINES:
        case.reason = f"no software layer for {row['Framework']}"
    elif not model:
        case.reason = "model not in workloads/models"
    else:
        case.trace, case.scenario = batch(model, system, gpus, ENGINES[row["Framework"]], size, prompt, output)
    return case


def argonne_case(index, row):
    length = int(row["Input Output Length"])
    case = argonne_frame(str(index), row, length, length)
    case.measured = {"e2e": float(row["Latency"])}
    return case


def argonne_first(index, row):
    prompt = int(row["Input Length"])
    case = argonne_frame(f"first-{index}", row, prompt, int(row["Output Length"]))
    case.measured = {"ttft": float(row["TTFT Latency"]) * 1e3}
    return case
