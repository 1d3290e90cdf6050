"""Tables of the data's manifest that the page shows, and their rows out of `tandem validate --rows`."""

import collections
import concurrent.futures
import csv
import dataclasses
import pathlib
import subprocess
import tempfile

from .cases import Case

# What `tandem validate --map` says of a row that it could run.
MAPPED = "has a scenario that was not run"
ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "trtllm": "TensorRT-LLM"}


@dataclasses.dataclass(frozen=True)
class Table:
    """A part of the page: files below the data's folder, figures of theirs that are shown, what their rows name in
    no column, and columns by which rows are drawn in proportion."""

    files: tuple
    metrics: tuple
    groups: tuple
    engine: str = ""
    precision: str = "bf16"


TABLES = {
    "inferencex": Table(("e2e/inferencex_measured_ttft_tpot.csv",), ("ttft", "tpot"),
                        ("model_path", "system", "precision", "backend", "mode")),
    "minimax": Table(("e2e/inferencex_h200_minimax_m2.5_isl_sweep.csv",), ("ttft", "tpot"), ("parallel",), "vLLM",
                     "fp8"),
    "trtllm": Table(("e2e/trtllm_perf_overview.csv",), ("throughput",), ("model", "gpu", "precision"),
                    "TensorRT-LLM"),
    "splitwise": Table(("e2e/splitwise_perf_llama2_70b.csv",), ("ttft", "tpot"), ("hardware",), "vLLM 2023",
                       "float16"),
    "argonne": Table(("e2e/argonne_llm_inference_bench_a100_h100.csv", "e2e/argonne_ttft_itl.csv"), ("e2e", "ttft"),
                     ("Model", "Hardware", "Framework"), "", "float16"),
}


def cases_of(name, data):
    """All rows of a table, with neither measured nor predicted figures yet."""
    table, found = TABLES[name], []
    for file in table.files:
        with (data / file).open(newline="") as text:
            for line, row in enumerate(csv.DictReader(text), 2):
                group = "/".join(row[column] for column in table.groups)
                found.append(Case(name, file, line, group))
    return found


def predict(cases, tandem, data, store=None, workers=2):
    """Fills in what `tandem validate` measured and predicted for each case. Worker processes share the rows out:
    what one of them answers depends on its rows alone."""
    by_file = {}
    for case in cases:
        by_file.setdefault(case.file, []).append(case)
    jobs = [(file, some[part::workers]) for file, some in by_file.items() for part in range(workers)]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        answers = pool.map(lambda job: validated(tandem, data, store, *job), [job for job in jobs if job[1]])
        rows = [row for answer in answers for row in answer]
    by_line = {(case.file, case.line): case for case in cases}
    for row in rows:
        fill_in(by_line[row["table"], int(row["line"])], row)


def coverage(name, tandem, data):
    """Why rows of a table stand for no scenario, with how many they are each; "" for those that do. None is run."""
    found = collections.Counter()
    for file in TABLES[name].files:
        with tempfile.TemporaryDirectory() as folder:
            rows = pathlib.Path(folder) / "rows.csv"
            subprocess.run(["nice", tandem, "validate", "--data", str(data), "--only", file, "--rows", str(rows),
                            "--map"], check=True, stdout=subprocess.DEVNULL)
            with rows.open(newline="") as text:
                reasons = {row["line"]: row["reason"] for row in csv.DictReader(text)
                           if row["metric"] in TABLES[name].metrics}
        found.update("" if reason == MAPPED else reason for reason in reasons.values())
    return found


def validated(tandem, data, store, file, cases):
    """Rows of one file as dictionaries."""
    with tempfile.TemporaryDirectory() as folder:
        rows = pathlib.Path(folder) / "rows.csv"
        command = ["nice", tandem, "validate", "--data", str(data), "--only", file, "--rows", str(rows), "--lines",
                   ",".join(str(case.line) for case in cases)]
        if store:
            command += ["--store", store]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with rows.open(newline="") as text:
            return list(csv.DictReader(text))


def fill_in(case, row):
    """Takes over one metric of a row."""
    table = TABLES[case.table]
    if row["metric"] not in table.metrics:
        return
    case.model, case.gpu = row["run_model"] or row["model"], row["run_chip"] or row["system"]
    case.backend = table.engine or ENGINES.get(row["software"], row["software"])
    case.precision = row.get("precision", "").lower() or table.precision
    if "gpt-oss" in case.model:
        case.precision = "mxfp4"
    case.users = int(row["run_users"])
    case.measured[row["metric"]] = float(row["measured"])
    if row["predicted"]:
        case.predicted[row["metric"]] = float(row["predicted"])
    else:
        case.reason = row["reason"]
