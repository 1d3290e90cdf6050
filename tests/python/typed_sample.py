"""What a typed program sees of the package; checked by mypy --strict, never run."""

import concurrent.futures
import pathlib

import tandem
from tandem import plot


def throughput(name: str) -> float:
    result: tandem.Result = tandem.run(name, set={"traffic.requests": 3}, seed=None)
    rows = result.requests
    print(len(rows), result.summary["ttft_ms"]["p99"], result.frame())
    return float(result.summary["output_tokens_per_s"])


def page(paths: list[pathlib.Path]) -> pathlib.Path:
    found: tandem.Capacity = tandem.capacity(*paths, curve=True)
    plot.throughput_interactivity(found)
    users: tandem.CapacityMap = tandem.capacity_map(*paths, contexts=[1024], users=[1, 16])
    plot.users_context(users.systems[0])
    return tandem.report(found, "page.html")


def points(executor: concurrent.futures.Executor) -> list[float]:
    rows = tandem.sweep("llama8b_gpu", {"traffic.concurrency": [1, 2]}, executor=executor)
    return [float(row["output_tokens_per_s"]) for row in rows]


def complaints(scenario: dict[str, object]) -> list[str]:
    try:
        tandem.run(scenario)
    except tandem.ConfigError as error:
        return [str(entry["message"]) for entry in error.diagnostics]
    return []
