"""Runs scenarios and reads from their requests what a benchmark's client would have printed."""

import concurrent.futures
import csv
import pathlib
import re
import subprocess
import tempfile

LIMIT_S = 600


class Runs:
    """Runs of scenarios over one store, two at a time; a scenario that came before is not run again."""

    def __init__(self, tandem, store, workers=2):
        self.tandem, self.store, self.workers = tandem, store, workers
        self.done = {}

    def predict(self, cases, progress=None):
        """Fills in `predicted` of all cases, or the reason why there is none."""
        texts = dict.fromkeys((case.scenario, case.trace) for case in cases if case.scenario)
        texts = [text for text in texts if text not in self.done]
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            for count, (text, result) in enumerate(zip(texts, pool.map(self.run, texts)), 1):
                self.done[text] = result
                if progress:
                    progress(count, len(texts))
        for case in cases:
            if not case.scenario:
                continue
            requests, case.reason = self.done[case.scenario, case.trace]
            if requests:
                case.predicted = STATISTICS[case.statistic](requests, case)

    def run(self, texts):
        """The requests of a scenario and its trace and "", or None and why there are none."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "scenario.yaml"
            table = pathlib.Path(folder) / "requests.csv"
            file.write_text(texts[0])
            file.with_name("trace.csv").write_text(texts[1])
            command = ["nice", self.tandem, "run", str(file), "--store", self.store, "--requests", str(table)]
            try:
                done = subprocess.run(command, text=True, capture_output=True, timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                return None, f"runs for more than {LIMIT_S} s"
            if done.returncode != 0:
                return None, reason_of(done.stderr)
            with table.open() as rows:
                return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(rows)], ""


def reason_of(stderr):
    """The kind of error in what the program printed, without place and numbers."""
    first = next((line for line in stderr.splitlines() if "error" in line), stderr.strip()[:200])
    first = re.sub(r"^.*?error: ", "", first)
    return re.sub(r"\d[\d.,]*", "N", first)[:160]


def weighted_median(values, weights):
    """The value at half of all weight; between two where half falls on an edge."""
    pairs = sorted(zip(values, weights))
    half, total = sum(weights) / 2, 0.0
    for index, (value, weight) in enumerate(pairs):
        total += weight
        if abs(total - half) < 1e-9 and index + 1 < len(pairs):
            return (value + pairs[index + 1][0]) / 2
        if total > half:
            return value
    return pairs[-1][0]


def closed(requests, case):
    """Means and medians over a closed loop whose users begin at once. A benchmark sends ten times as many requests
    as it has users; where fewer were simulated, those of the first round keep a tenth of the weight."""
    users = case.facts["concurrency"]
    ordered = sorted(requests, key=lambda row: row["id"])
    later = max(len(ordered) - users, 1)
    weights = [0.1 / users if index < users else 0.9 / later for index in range(len(ordered))]
    found = {}
    for name in ("ttft", "tpot"):
        values = [row[f"{name}_ms"] for row in ordered]
        found[name] = sum(value * weight for value, weight in zip(values, weights)) / sum(weights)
        found[f"{name}_median"] = weighted_median(values, weights)
    return found


def static(requests, case):
    """Means over one batch."""
    count = len(requests)
    end_ms = max(row["arrival_s"] * 1e3 + row["e2e_ms"] for row in requests)
    tokens = sum(row["prompt"] + row["output"] for row in requests)
    return {"ttft": sum(row["ttft_ms"] for row in requests) / count,
            "tpot": sum(row["tpot_ms"] for row in requests) / count, "e2e": end_ms / 1e3,
            "throughput_total": tokens / end_ms * 1e3}


def saturated(requests, case):
    """Output tokens per second while as many requests ran as may: from the first answer that is complete to the
    last request's first token."""
    begin = min(row["arrival_s"] * 1e3 + row["e2e_ms"] for row in requests)
    end = max(row["arrival_s"] * 1e3 + row["ttft_ms"] for row in requests)
    tokens = 0.0
    for row in requests:
        first = row["arrival_s"] * 1e3 + row["ttft_ms"]
        last = row["arrival_s"] * 1e3 + row["e2e_ms"]
        inside = max(0.0, min(last, end) - max(first, begin))
        tokens += row["output"] * inside / max(last - first, 1e-9)
    return {"throughput": tokens / (end - begin) * 1e3}


def log(requests, case):
    """Means, medians and 99th percentiles over the requests of a log, and its makespan."""
    ends = [row["arrival_s"] * 1e3 + row["e2e_ms"] for row in requests]
    found = {"makespan": (max(ends) - min(row["arrival_s"] for row in requests) * 1e3) / 1e3}
    for name in ("ttft", "tpot", "e2e"):
        values = sorted(row[f"{name}_ms"] for row in requests)
        found.update({f"{name}_mean": sum(values) / len(values), f"{name}_p50": percentile(values, 50),
                      f"{name}_p99": percentile(values, 99)})
    unwaited = case.facts["unwaited"]
    quick = [row["ttft_ms"] for row in requests if int(row["id"]) in unwaited]
    found["ttft_without_wait"] = sum(quick) / len(quick)
    return found


def percentile(values, part):
    """Of sorted values, linear between neighbours."""
    place = (len(values) - 1) * part / 100
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


STATISTICS = {"closed": closed, "static": static, "saturated": saturated, "log": log}
