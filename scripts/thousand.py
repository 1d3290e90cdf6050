#!/usr/bin/python3
"""Runs llama70b_thousand, 1,000 points of 500 requests, from an empty store and from one that another
sweep has filled; kills and resumes it on the way; compares 1, 2 and 4 workers and a Dask client on
100 of its points. Writes seconds and counts to docs/measured.json under `thousand.*`.

Usage: thousand.py [--tandem FILE] [--folder FOLDER] [filled|empty|same ...]; without a part all."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from measure import Recorder  # noqa: E402  # pylint: disable=wrong-import-position

SWEEPS = ROOT / "workloads" / "sweeps"
THOUSAND, BETWEEN = SWEEPS / "llama70b_thousand.yaml", SWEEPS / "llama70b_between.yaml"
POINTS = 1000


def rows_of(database):
    """The rows by point, results without `run`: the only part that may differ."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT point, config_hash, overrides, status, error, violated, "
                                  "result FROM points ORDER BY point").fetchall()
    return [(*row[:-1], without_run(row[-1])) for row in rows]


def without_run(result):
    """A result's JSON without what the host did."""
    if not result:
        return None
    data = json.loads(result)
    del data["run"]
    return data


def counts_of(rows):
    """Rows by status."""
    counts = {}
    for row in rows:
        counts[row[3]] = counts.get(row[3], 0) + 1
    return counts


class Bench:
    """A folder with stores and databases, and the executable."""

    def __init__(self, tandem, folder):
        self.tandem, self.folder = tandem, pathlib.Path(folder)

    def start(self, sweep, name, store, workers, *more):
        """A sweep that has been started; an older database of that name goes unless it is resumed."""
        more = more if "--resume" in more else (*more, "--force")
        return subprocess.Popen(
            [self.tandem, "sweep", str(sweep), "--db", str(self.folder / f"{name}.db"), "--store",
             str(self.folder / store), "--workers", str(workers), *more],
            stdout=subprocess.DEVNULL)

    def run(self, sweep, name, store, workers=2, *more):  # pylint: disable=keyword-arg-before-vararg
        """Its rows, wall seconds and CPU seconds."""
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        if self.start(sweep, name, store, workers, *more).wait() != 0:
            raise SystemExit(f"{name} failed")
        wall = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return rows_of(self.folder / f"{name}.db"), wall, cpu

    def fill(self):
        """A store that the other sweep has filled; its folder's name."""
        if not (self.folder / "between").exists():
            self.run(BETWEEN, "between", "between")
        return "between"


def keep(recorder, part, rows, wall, cpu):
    """Notes the figures of one run of all points."""
    command = f"scripts/thousand.py {part}"
    if len(rows) != POINTS or len({row[0] for row in rows}) != POINTS:
        raise SystemExit(f"{part}: {len(rows)} rows")
    for name, value in (("wall_s", round(wall, 1)), ("cpu_s", round(cpu, 1)),
                        ("load", round(os.getloadavg()[1], 1)), ("points", counts_of(rows))):
        recorder.keep(f"thousand.{part}.{name}", value, command, wall)


def measure_empty(bench, recorder):
    """From an empty store."""
    keep(recorder, "empty", *bench.run(THOUSAND, "empty", "empty_store"))


def measure_filled(bench, recorder):
    """From a store that the other sweep has filled."""
    shutil.copytree(bench.folder / bench.fill(), bench.folder / "filled_store", dirs_exist_ok=True)
    keep(recorder, "filled", *bench.run(THOUSAND, "filled", "filled_store"))


def slice_of_thousand(folder):
    """A sweep file of 100 of the points: 60 of the GPUs, 40 of the hybrid."""
    text = THOUSAND.read_text()
    text = re.sub(r"concurrency: \[1, 2, 3[^]]*\]", "concurrency: [4, 16, 64]", text)
    text = re.sub(r"concurrency: \{from: 1, to: 25, step: 1\}", "concurrency: [1, 4, 8, 16, 25]",
                  text)
    long = "        - {traffic.prompt_tokens: 1024, traffic.output_tokens: 256}\n"
    text = text.replace(long, "", 1)  # the GPUs: 4 x 5 x 3 x 1
    tail = text.rindex("        - {placement.prefill.precision: {weights: fp8")
    text = text[:tail] + text[text.index("\n", tail) + 1:]  # the hybrid: 4 x 1 x 2 x 5
    path = pathlib.Path(folder) / "hundred.yaml"
    path.write_text(text)
    return path


def killed(bench, sweep, store):
    """Rows of a sweep that kill -9 ended three times, and how many rows it had each time."""
    database, seen = bench.folder / "killed.db", []
    database.unlink(missing_ok=True)
    for least in (20, 45, 70):
        process = bench.start(sweep, "killed", store, 2, "--resume")
        while process.poll() is None and rows_there(database) < least:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen.append(len(rows_of(database)))
    return bench.run(sweep, "killed", store, 2, "--resume")[0], seen


def rows_there(database):
    """Rows so far by the size of the log: the database itself is locked."""
    log = pathlib.Path(f"{database}-wal")
    return log.stat().st_size // 22000 if log.exists() else 0


def with_dask(sweep, store, database):
    """Rows of the same sweep by a local Dask cluster of two processes."""
    import tandem  # pylint: disable=import-outside-toplevel
    from distributed import Client  # pylint: disable=import-outside-toplevel
    with Client(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as client:
        tandem.sweep(str(sweep), executor=client, store=str(store), db=database,
                     force=True)
    return rows_of(database)


def measure_same(bench, recorder):
    """The same content for 1, 2 and 4 workers, when killed, and through Dask."""
    sweep, command = slice_of_thousand(bench.folder), "scripts/thousand.py same"
    started = time.monotonic()
    first = bench.run(sweep, "workers1", "same_store", 1)[0]
    equal = {}
    for workers in (2, 4):
        equal[f"{workers} workers"] = \
            bench.run(sweep, f"workers{workers}", "same_store", workers)[0] == first
    resumed, seen = killed(bench, sweep, "same_store")
    equal["killed and resumed"] = resumed == first
    equal["dask"] = with_dask(sweep, bench.folder / "same_store", bench.folder / "dask.db") == first
    seconds = time.monotonic() - started
    recorder.keep("thousand.same.points", counts_of(first), command, seconds)
    recorder.keep("thousand.same.killed_at_rows", seen, command, seconds)
    recorder.keep("thousand.same.equal", equal, command, seconds)
    if not all(equal.values()):
        raise SystemExit(f"not equal: {equal}")


PARTS = {"filled": measure_filled, "empty": measure_empty, "same": measure_same}


def main():
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tandem", default=str(ROOT / "build/release/sim/entry/tandem"))
    parser.add_argument("--folder", help="for stores and databases; default: a temporary one")
    parser.add_argument("part", nargs="*", choices=[*PARTS, []])
    arguments = parser.parse_args()
    recorder = Recorder(arguments.tandem, "")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments.tandem, arguments.folder or folder)
        for part in arguments.part or PARTS:
            PARTS[part](bench, recorder)
    recorder.write()


if __name__ == "__main__":
    main()
