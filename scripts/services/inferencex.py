"""e2e/inferencex_measured_ttft_tpot.csv: dashboard runs of InferenceX and runs of the same kind.

Settings of the engines are those of the benchmark's scripts (SemiAnalysisAI/InferenceX, benchmarks/*.sh)."""

import csv
import re

from .cases import Case, scenario

MODELS = {"deepseek-ai/DeepSeek-R1": "deepseek-r1", "deepseek-ai/DeepSeek-V3": "deepseek-v3",
          "Qwen/Qwen3-32B": "qwen3-32b", "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
          "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b", "openai/gpt-oss-120b": "gpt-oss-120b"}
SYSTEMS = {"h100_sxm": "dgx_h100", "b200_sxm": "dgx_b200"}
NODES = {"h100_sxm": "h100_nodes", "b200_sxm": "b200_nodes"}
NAMES = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}


def cases(data):
    """All rows as cases."""
    with (data / "e2e" / "inferencex_measured_ttft_tpot.csv").open() as file:
        rows = list(csv.DictReader(file))
    complete = {figures(row): row for row in rows if row["prefill_num_workers"]}
    for row in rows:
        twin = complete.get(figures(row))
        if row["mode"] == "disagg" and twin and not row["prefill_num_workers"]:
            row.update({key: value for key, value in twin.items() if key.startswith(("prefill_", "decode_"))})
    return [case_of(row) for row in rows]


def figures(row):
    """What two rows of one measurement have in common: concurrency and both times to 0.1 us."""
    times = (f"{float(row[name]):.4f}" for name in ("silicon_ttft_ms", "silicon_tpot_ms"))
    return row["mode"], row["concurrency"], *times


def case_of(row):
    """The case of one row."""
    case = Case("inferencex", row["id"], MODELS[row["model_path"]], row["system"], NAMES[row["backend"]],
                precision_name(row), {"ttft": float(row["silicon_ttft_ms"]), "tpot": float(row["silicon_tpot_ms"])})
    case.facts = {"mode": row["mode"], "isl": int(row["isl"]), "osl": int(row["osl"]),
                  "version": row["backend_version"], "drawn": drawn_lengths(row)}
    users = row["concurrency"] or row["batch_size"]
    if row["mode"] == "disagg":
        disaggregated(row, case)
    elif not users:
        case.reason = "no concurrency in the row"
    else:
        case.facts["concurrency"] = round(float(users))
        case.facts.update(parallelism(row))
        case.scenario = aggregated(row, case)
    return case


def precision_name(row):
    """bf16 where the row names none; gpt-oss has experts in mxfp4 whatever the row says."""
    if "gpt-oss" in row["model_path"]:
        return "mxfp4"
    return {"": "bf16", "fp8": "fp8", "fp4": "fp4"}[row["precision"]]


def drawn_lengths(row):
    """Whether lengths were drawn from 0.8 to 1.0 times what the row says (the benchmark's random_range_ratio);
    the other sources sent prompts of one length."""
    source = row["silicon_data_source"]
    return source.startswith("db-dump") or bool(re.match(r"source_file=2026-", source))


def parallelism(row):
    """GPUs, runs of experts and whether attention is data-parallel. Where the id names tp and ep they hold: the
    columns of some rows have their product, once as tensor and once as expert parallelism of equal size."""
    named = re.search(r"_tp(\d+)(?:_0)?_ep(\d+|none)(?:_0)?_\d+$", row["id"])
    groups = float(row["attention_dp_size"] or 1)
    if named:
        gpus, expert = int(named[1]), int(named[2]) if named[2] != "none" else 1
    else:
        gpus = int(float(row["tp_size"]) * groups)
        expert = max(1, int(float(row["moe_ep_size"] or 1)))
        if expert > 1 and row["moe_tp_size"] == row["moe_ep_size"] and gpus == expert**2:
            gpus = expert
    if row["model_path"].startswith(("Qwen", "meta")):
        expert = 1
    return {"gpus": gpus, "expert": expert, "attention_data": groups > 1}


def gang(gpus, expert, attention_data):
    """Keys of a pool."""
    if attention_data:
        return {"attention_data": gpus, "expert": gpus}
    return {"tensor": gpus, "expert": expert} if expert > 1 else {"tensor": gpus}


def precision(model, name, gpu, backend):
    """Formats of weights, cache and activations, as the checkpoints and the benchmark's scripts have them."""
    if model == "gpt-oss-120b":
        narrow = gpu == "b200_sxm"
        experts = [{"part": "experts", "weights": "mxfp4"}]
        return {"weights": "bfloat16", "kv_cache": "fp8" if narrow else "bfloat16",
                "activations": "mxfp8" if narrow else "bfloat16", "overrides": experts}
    if name == "bf16":
        return {"weights": "bfloat16", "kv_cache": "bfloat16", "activations": "bfloat16"}
    if name == "fp4":
        kept = {"overrides": [{"part": "mixers", "weights": "bfloat16"}]} if "deepseek" in model else {}
        return {"weights": "nvfp4", "kv_cache": "fp8", "activations": "nvfp4", **kept}
    if "deepseek" in model:
        narrow = gpu == "b200_sxm" or backend == "TensorRT-LLM"
        return {"weights": "fp8_block", "kv_cache": "fp8" if narrow else "bfloat16", "activations": "bfloat16"}
    return {"weights": "fp8", "kv_cache": "bfloat16" if model == "qwen3-32b" else "fp8", "activations": "fp8_channel"}


def serving(model, name, backend, facts):
    """The scheduler and its limits."""
    isl, osl, users = facts["isl"], facts["osl"], facts["concurrency"]
    if backend == "vLLM":
        return {"policy": "vllm_v1", "max_batch_tokens": 8192, "max_sequences": 1024, "kv_block_tokens": 16,
                "prefix_cache": False}
    if backend == "SGLang":
        chunk = 8192
        if "deepseek" in model:
            chunk = 16384 if name == "fp4" else 32768 if facts.get("gpus") == 8 else 8192
        rules = {"policy": "sglang", "max_batch_tokens": chunk, "max_prefill_tokens": max(chunk, 16384),
                 "max_sequences": max(users, 128), "kv_block_tokens": 1, "prefix_cache": False,
                "receive_interval": (10 if users < 16 else 30) if "deepseek" in model else 1}
        if facts["drawn"]:
            rules["receive_interval"] = 30 if users >= 16 else 10
        return rules
    tokens = 8192
    if "deepseek" in model:
        tokens = max(8192, (users + isl + 127) // 64 * 64)
    elif model == "gpt-oss-120b":
        tokens = 20000
    elif model == "llama-3.1-70b":
        tokens = isl + osl + 200
    return {"policy": "vllm_v1", "chunked_prefill": False, "max_batch_tokens": tokens, "max_sequences": 2048,
            "kv_block_tokens": 32, "prefix_cache": False, "batch_wait_steps": batch_wait(model, name, facts)}


def batch_wait(model, name, facts):
    """batch_wait_timeout_iters of the benchmark's scripts for TensorRT-LLM."""
    if (facts["isl"], facts["osl"]) != (1024, 1024):
        return 0
    if model == "llama-3.1-70b" and facts.get("gpus", 8) < 8:
        return 20
    return 40 if "deepseek" in model and name == "fp8" and facts["concurrency"] >= 64 else 0


def software(backend, version):
    """The software layer of an engine's version."""
    if backend == "TensorRT-LLM" and version[:2] == "1." and version[:3] != "1.0":
        name = {"1.3": "tensorrt_llm_1_3"}.get(version[:3], "tensorrt_llm")
        launch = {"value": 1, "source": "tensorrt-llm-source", "basis": "published"}
        return {"name": name, "dependent_launch": launch}  # TRTLLM_ENABLE_PDL in the benchmark's scripts
    if backend == "TensorRT-LLM":
        return {"1.0": "tensorrt_llm_1_0", "1.3": "tensorrt_llm_1_3"}.get(version[:3], "tensorrt_llm")
    return {"vLLM": "vllm", "SGLang": "sglang"}[backend]


def rounds(facts):
    """Requests per user: the benchmark's ten, or fewer to save time."""
    if facts["concurrency"] <= 8 and facts["osl"] <= 1024:
        return 10
    return 5 if facts["osl"] <= 1024 else 3


def traffic(facts):
    """A closed loop whose users begin at once; lengths are drawn from 0.8 to 1.0 times what the row names, or all
    alike."""
    users, share = facts["concurrency"], 0.9 if facts["drawn"] else 1.0
    load = {"arrivals": "closed", "start": "together", "concurrency": users,
            "prompt_tokens": round(facts["isl"] * share), "output_tokens": round(facts["osl"] * share),
            "requests": rounds(facts) * users}
    return {**load, "length_spread": 0.1111} if facts["drawn"] else load


def aggregated(row, case):
    """One engine that does everything."""
    facts = case.facts
    pool = {"mode": "monolithic", "pool": "gpu", **gang(facts["gpus"], facts["expert"], facts["attention_data"]),
            "precision": precision(case.model, case.precision, case.gpu, case.backend)}
    return scenario(case.model, SYSTEMS[case.gpu], pool, serving(case.model, case.precision, case.backend, facts),
                    software(case.backend, facts["version"]), traffic(facts))


def disaggregated(row, case):
    """Pools of engines for prompts and for tokens; rows that do not say how many of each are left out."""
    counts = [row["prefill_num_workers"], row["decode_num_workers"]]
    if not all(counts):
        case.reason = "disaggregated, number of engines not in the row"
        return
    if not row["concurrency"]:
        case.reason = "no concurrency in the row"
        return
    facts = case.facts
    facts["concurrency"] = round(float(row["concurrency"]))
    numbers = precision(case.model, case.precision, case.gpu, case.backend)
    pools, gpus = {}, 0
    for name, engines in zip(("prefill", "decode"), counts):
        size = round(float(row[f"{name}_tp_size"]) * float(row[f"{name}_attention_dp_size"]))
        groups = float(row[f"{name}_attention_dp_size"]) > 1
        pools[name] = {"pool": "gpu", **gang(size, int(float(row[f"{name}_moe_ep_size"] or 1)), groups),
                       "replicas": round(float(engines)), "precision": numbers}
        gpus += size * round(float(engines))
    facts.update(gpus=gpus)
    case.scenario = scenario(case.model, NODES[case.gpu], {"mode": "disaggregated", **pools},
                             serving(case.model, case.precision, case.backend, facts),
                             software(case.backend, facts["version"]), traffic(facts))
