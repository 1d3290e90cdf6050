#!/usr/bin/python3
"""Same input, same bytes out: runs with no store, with an empty one (which computes all of it again)
and with a full one, and sweeps with one and two workers. Usage: check_determinism.py TANDEM."""

import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

SMALL = ["--set", "traffic.requests=12", "--set", "traffic.concurrency=4"]
SWEEP = """kind: sweep
scenario: llama8b_gpu
vary:
  traffic.concurrency: [1, 4]
  traffic.requests: [6]
  traffic.prompt_tokens: [64, 128]
"""


def comparable(text):
    """The result without `run`, the only part that may differ."""
    data = json.loads(text)
    data.pop("run")
    return json.dumps(data)


def run(tandem, folder, scenario, store, extra=()):
    """JSON and timeline of one run."""
    json_path, trace_path = folder / "out.json", folder / "trace.json"
    subprocess.run([tandem, "run", scenario, *SMALL, *extra, "--store", store, "--json",
                    str(json_path), "--timeline", str(trace_path)], check=True,
                   stdout=subprocess.DEVNULL)
    return comparable(json_path.read_text()), trace_path.read_text()


def sweep(tandem, folder, workers):
    """All points of a small sweep."""
    (folder / "small.yaml").write_text(SWEEP)
    database = folder / f"sweep{workers}.db"
    subprocess.run([tandem, "sweep", str(folder / "small.yaml"), "--workers", str(workers), "--db",
                    str(database)], check=True, stdout=subprocess.DEVNULL)
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT point, config_hash, overrides, status, error, result, "
                                  "output_tokens_per_s FROM points ORDER BY point").fetchall()
    return [(*row[:5], comparable(row[5]), row[6]) for row in rows]


def main():
    tandem = sys.argv[1]
    failures = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for scenario in ("llama8b_gpu", "llama8b_hybrid", "llama8b_poisson"):
            extra = ["--set", "traffic.concurrency=null"] if scenario.endswith("poisson") else []
            first = run(tandem, folder, scenario, "none", extra)
            store = str(folder / f"store_{scenario}")
            for state in ("empty", "full"):
                if run(tandem, folder, scenario, store, extra) != first:
                    failures.append(f"{scenario}: {state} store differs")
        alone, together = sweep(tandem, folder, 1), sweep(tandem, folder, 2)
        if len(alone) != 4 or alone != together:
            failures.append("sweep: two workers differ from one")
    print("\n".join(failures) or "all equal")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
