#!/usr/bin/python3
"""Sweeps: the same rows for any number of workers and whenever they were killed and resumed. Prints
what failed and exits 1 if anything did. Usage: check_sweeps.py TANDEM."""

import contextlib
import json
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

SWEEP = """kind: sweep
set: {traffic.output_tokens: 16}
grids:
  - scenario: llama8b_gpu
    set: {traffic.requests: 300}
    vary:
      traffic.concurrency: [1, 2, 4, 100000]
      traffic.prompt_tokens: {from: 16, to: 1024, points: 4, scale: log}
  - scenario: llama70b_gpu
    vary: {shape: [{placement.tensor: 8}, {placement.tensor: 16}, {placement.tensor: 1}]}
constraints: [traffic.concurrency <= 8, tpot_ms.p99 < 6]
objectives: [{maximize: output_tokens_per_s}, {minimize: tpot_ms.mean}]
"""
POINTS = 19
STATUSES = {"ok": 13, "excluded": 4, "refused": 2}


def rows_of(database):
    """The rows without `run`, the only part that may differ."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT * FROM points ORDER BY point").fetchall()
        names = [column[1] for column in connection.execute("PRAGMA table_info(points)")]
    result = names.index("result")
    for i, row in enumerate(rows):
        if row[result]:
            data = json.loads(row[result])
            del data["run"]
            rows[i] = (*row[:result], data, *row[result + 1:])
    return rows


class Check:
    """The executable, a folder with the sweep, and what failed so far."""

    def __init__(self, tandem, folder):
        self.tandem, self.folder, self.failures = tandem, folder, []
        self.sweep = folder / "small.yaml"
        self.sweep.write_text(SWEEP)

    def start(self, database, *more):
        """A sweep that has been started."""
        arguments = [self.tandem, "sweep", str(self.sweep), "--db", str(database), "--store", "none",
                     "--fidelity", "analytical", *more]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, name, workers, *more):
        """The rows and the output of a whole sweep."""
        database = self.folder / name
        done = self.start(database, "--workers", str(workers), *more)
        out, err = done.communicate(timeout=120)
        self.expect(done.returncode == 0, f"{name}: exit code {done.returncode}: {err}")
        return rows_of(database), out

    def expect(self, holds, what):
        """Notes a failure."""
        if not holds:
            self.failures.append(what)


def children_of(process):
    """Process ids of the workers."""
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        return [int(pid) for pid in path.read_text().split()]
    except FileNotFoundError:
        return []


def wait_until(holds, seconds=60):
    """Whether it came to hold."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.005)
    return False


def check_workers(check):
    """One, two and four workers."""
    first, page = check.run("one.db", 1)
    counts = {}
    for row in first:
        counts[row[3]] = counts.get(row[3], 0) + 1
    check.expect(len(first) == POINTS and counts == STATUSES, f"points came to {counts}")
    check.expect("Pareto front" in page and "highest output_tokens_per_s" in page, page)
    for workers in (2, 4):
        check.expect(check.run(f"{workers}.db", workers)[0] == first, f"{workers} workers differ")
    return first


def check_kills(check, expected):
    """kill -9 of the sweep at other and other moments, each time resumed, until it gets through."""
    database = check.folder / "killed.db"
    delay, kills = 0.02, 0
    while True:
        sweep = check.start(database, "--workers", "2", "--resume")
        try:
            _, err = sweep.communicate(timeout=delay)
            check.expect(sweep.returncode == 0, f"resumed: {err}")
            break
        except subprocess.TimeoutExpired:
            workers = children_of(sweep)
            sweep.kill()
            sweep.communicate()
            kills += 1
        gone = wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers))
        check.expect(gone, "workers outlive their parent")
        if database.exists() and database.stat().st_size > 0:
            with contextlib.closing(sqlite3.connect(database)) as connection:
                check.expect(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",),
                             "the database is damaged")
        delay *= 1.3
    check.expect(kills > 3, f"killed only {kills} times")
    if not check.failures:
        check.expect(rows_of(database) == expected, "a killed and resumed sweep differs")
    out, err = check.start(database, "--resume").communicate(timeout=60)
    check.expect(", 0 run now: " in out, f"finished points are run again: {out}{err}")


def check_other_questions(check):
    """Results are held to constraints that changed without running again; they are lost to
    another clock only when told so; a clock that there is not starts nothing."""
    database = check.folder / "questions.db"
    check.run("questions.db", 2)
    text = check.sweep.read_text()
    check.sweep.write_text(text.replace("tpot_ms.p99 < 6", "tpot_ms.p99 < 0.001"))
    rows, out = check.run("questions.db", 2, "--resume")
    check.expect(", 1 run now" in out and "(13 violate" in out, f"rows of other constraints: {out}")
    check.sweep.write_text(text)
    resume = [check.tandem, "sweep", str(check.sweep), "--db", str(database), "--resume", "--fidelity"]
    other = subprocess.run([*resume, "cycle"], capture_output=True, text=True, check=False)
    check.expect(other.returncode == 2
                 and "has 13 finished points that this sweep does not run" in other.stderr,
                 f"finished points of another clock: {other.stdout}{other.stderr}")
    wrong = subprocess.run([*resume, "cyle"], capture_output=True, text=True, check=False)
    check.expect(wrong.returncode == 2 and "write cycle or analytical" in wrong.stderr,
                 f"a clock that there is not: {wrong.stdout}{wrong.stderr}")
    check.expect(len(rows_of(database)) == len(rows), "rows went with a mistake of the command")


def check_growth(check):
    """A sweep that grows, in the middle too, runs what is new; the rest keeps its numbers. Points
    that are there are never dropped without being asked."""
    database = check.folder / "grown.db"
    whole = check.sweep.read_text()
    check.sweep.write_text(whole.replace("[1, 2, 4, 100000]", "[1, 4]"))
    few = check.run("grown.db", 2)[0]
    _, err = check.start(database).communicate(timeout=60)
    check.expect("has 11 points of an earlier run" in err and "--resume" in err, f"no refusal: {err}")
    check.sweep.write_text(whole)
    rows, out = check.run("grown.db", 2, "--resume")
    check.expect(", 4 run now: " in out, f"other points than the new ones run: {out}")
    fresh = check.run("fresh.db", 2)[0]
    same = [0, 2, 3, 4, 6, 7]  # config_hash and audit_steps count audits
    check.expect([[row[i] for i in same] for row in rows] == [[row[i] for i in same] for row in fresh]
                 and len(few) == 11, "rows of a grown sweep differ")
    check.expect([row[5]["summary"] for row in rows if row[5]]
                 == [row[5]["summary"] for row in fresh if row[5]], "figures of a grown sweep differ")
    check.sweep.write_text(whole.replace("[1, 2, 4, 100000]", "[1, 4]"))
    _, err = check.start(database, "--resume").communicate(timeout=60)
    check.expect("has 4 finished points" in err and "--resume --force" in err, f"no refusal: {err}")
    _, out = check.run("grown.db", 2, "--resume", "--force")
    check.expect("8 rows of other points dropped\n" in out and ", 0 run now: 11 points" in out, out)
    check.sweep.write_text(whole)
    check.run("grown.db", 2, "--force")


def check_units(check):
    """Values with units in constraints, and for SQL."""
    sweep = check.folder / "units.yaml"
    sweep.write_text("kind: sweep\nscenario: llama8b_gpu\nset: {traffic.requests: 4}\n"
                     "vary: {slo.tpot_p99: [1 ms, 4 us, 9 s]}\n"
                     "constraints: [slo.tpot_p99 <= 2 s, tpot_ms.p99 <= slo.tpot_p99 * 1000]\n")
    check.sweep, kept = sweep, check.sweep
    rows, _ = check.run("units.db", 1)
    check.sweep = kept
    check.expect([row[3] for row in rows] == ["ok", "ok", "excluded"], f"{[row[3] for row in rows]}")
    check.expect([bool(row[6]) for row in rows] == [False, True, False],
                 f"{[row[6] for row in rows]}")
    with contextlib.closing(sqlite3.connect(check.folder / "units.db")) as connection:
        seconds = connection.execute("SELECT number FROM changes WHERE path = 'slo.tpot_p99' "
                                     "ORDER BY point").fetchall()
    check.expect(seconds == [(1e-3,), (4e-6,), (9.0,)], f"numbers for SQL: {seconds}")


def check_interrupt(check, expected):
    """Ctrl-C, and a second sweep while the first one runs."""
    database = check.folder / "interrupted.db"
    sweep = check.start(database, "--workers", "2")
    wait_until(lambda: len(children_of(sweep)) == 2)
    other = check.start(database, "--resume")
    _, err = other.communicate(timeout=60)
    check.expect(other.returncode == 2 and "locked" in err, f"a second sweep got in: {err}")
    sweep.send_signal(signal.SIGINT)
    _, err = sweep.communicate(timeout=60)
    check.expect(sweep.returncode == 130, f"interrupted with code {sweep.returncode}")
    check.expect("--resume'" in err and "interrupted: " in err, f"no word on how to go on: {err}")
    check.expect(check.run("interrupted.db", 2, "--resume")[0] == expected,
                 "an interrupted and resumed sweep differs")


def check_dead_worker(check, expected):
    """A worker that dies is replaced and its point run again."""
    database = check.folder / "dead.db"
    sweep = check.start(database, "--workers", "2")
    wait_until(lambda: len(children_of(sweep)) == 2)
    victims = children_of(sweep)
    for pid in victims[:1]:
        subprocess.run(["kill", "-9", str(pid)], check=False)
    _, err = sweep.communicate(timeout=120)
    check.expect(bool(victims) and sweep.returncode == 0, f"without a worker: {err}")
    check.expect(rows_of(database) == expected, "a sweep whose worker died differs")


def main():
    with tempfile.TemporaryDirectory() as name:
        check = Check(sys.argv[1], pathlib.Path(name))
        expected = check_workers(check)
        check_kills(check, expected)
        check_interrupt(check, expected)
        check_other_questions(check)
        check_growth(check)
        check_units(check)
        check_dead_worker(check, expected)
    print("\n".join(check.failures) or "all equal")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
