"""Sweeps and plans from Python: the same as the command's, here, in processes and on a cluster."""

import concurrent.futures
import contextlib
import importlib.util
import json
import multiprocessing
import os
import pathlib
import re
import signal
import sqlite3
import subprocess

import numpy
import pytest

import tandem

SWEEP = {
    "scenario": "llama8b_gpu",
    "set": {"traffic.output_tokens": 16, "traffic.requests": 200},
    "vary": {"traffic.concurrency": [1, 2, 4, 100000],
             "traffic.prompt_tokens": {"from": 16, "to": 1024, "points": 3, "scale": "log"},
             "placement.tensor": [1, 2]},
    "constraints": ["traffic.concurrency <= 8", "tpot_ms.p99 < 6"],
}
TANDEM = pathlib.Path(os.environ["TANDEM_PROGRAM"]) if "TANDEM_PROGRAM" in os.environ else None


@pytest.fixture(scope="module")
def here():
    """The rows of the sweep, run in this process."""
    return tandem.sweep(SWEEP, fidelity="analytical")


def test_rows_have_statuses_changes_and_figures(here):
    assert [row["point"] for row in here] == list(range(24))
    assert {row["status"] for row in here} == {"ok", "refused", "excluded"}
    first = here[0]
    assert first["traffic.concurrency"] == 1 and first["output_tokens_per_s"] > 0
    low, high = first["bands"]["usd_per_m_total_tokens"]
    assert low < first["usd_per_m_total_tokens"] < high and "bands" not in here[1]
    assert here[1]["status"] == "refused" and "placement needs 2 chips" in here[1]["error"]


def test_processes_give_the_same_rows(here):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        assert tandem.sweep(SWEEP, executor=executor, fidelity="analytical") == here


def test_threads_give_the_same_rows(here):
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        assert tandem.sweep(SWEEP, executor=executor, fidelity="analytical") == here


def rows_of(database):
    """The rows of a database without `run`."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT point, config_hash, overrides, status, error, violated, "
                                  "result FROM points ORDER BY point").fetchall()
    results = [json.loads(row[-1]) if row[-1] else {} for row in rows]
    return [(*row[:-1], {key: value for key, value in result.items() if key != "run"})
            for row, result in zip(rows, results)]


@pytest.mark.skipif(TANDEM is None, reason="TANDEM_PROGRAM names no executable")
def test_the_database_is_that_of_the_command(here, tmp_path):
    (tmp_path / "sweep.yaml").write_text(json.dumps({"kind": "sweep", **SWEEP}))
    subprocess.run([TANDEM, "sweep", tmp_path / "sweep.yaml", "--db", tmp_path / "command.db",
                    "--fidelity", "analytical", "--store", "none"], check=True,
                   stdout=subprocess.DEVNULL)
    assert tandem.sweep(tmp_path / "sweep.yaml", db=tmp_path / "python.db",
                        fidelity="analytical") == here
    assert rows_of(tmp_path / "python.db") == rows_of(tmp_path / "command.db")


def test_resuming_runs_only_what_is_missing(here, tmp_path):
    database = tmp_path / "points.db"
    tandem.sweep(SWEEP, db=database, fidelity="analytical")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM points WHERE point = 4")
        connection.execute("UPDATE points SET result = "
                           "replace(result, '\"seed\": 1', '\"seed\": 7')")
        connection.commit()
    assert tandem.sweep(SWEEP, db=database, resume=True, fidelity="analytical") == here
    seeds = [row[-1].get("seed") for row in rows_of(database) if row[3] == "ok"]
    assert seeds.count(1) == 1 and seeds.count(7) == len(seeds) - 1


def test_dictionaries_resume_too(tmp_path):
    scenario = {"extends": "llama8b_gpu", "traffic": {"requests": 3}}
    over = {"traffic.concurrency": [1, 2]}
    tandem.sweep(scenario, over, db=tmp_path / "points.db", fidelity="analytical")
    first = rows_and_times_of(tmp_path / "points.db")
    tandem.sweep(scenario, over, db=tmp_path / "points.db", resume=True, fidelity="analytical")
    assert rows_and_times_of(tmp_path / "points.db") == first
    fewer = {"traffic.concurrency": [1]}
    with pytest.raises(tandem.ConfigError, match="1 finished points that this sweep does not run"):
        tandem.sweep(scenario, fewer, db=tmp_path / "points.db", resume=True, fidelity="analytical")
    tandem.sweep(scenario, fewer, db=tmp_path / "points.db", resume=True, force=True,
                 fidelity="analytical")
    assert [row[0] for row in rows_and_times_of(tmp_path / "points.db")] == [0]


def rows_and_times_of(database):
    """Numbers and results of all rows, with the times that each run took."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT point, result FROM points ORDER BY point").fetchall()


@pytest.mark.skipif(TANDEM is None, reason="TANDEM_PROGRAM names no executable")
def test_runs_are_added_behind_the_points_of_a_sweep(tmp_path):
    database = tmp_path / "points.db"
    tandem.sweep("llama8b_gpu", {"traffic.concurrency": [1, 2]}, set={"traffic.requests": 3},
                 db=database, fidelity="analytical")
    run = [TANDEM, "run", "llama8b_gpu", "--set", "traffic.requests=3", "--db", database,
           "--fidelity", "analytical", "--store", "none"]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    assert [row[0] for row in rows_and_times_of(database)] == [0, 1, 2]
    (tmp_path / "sweep.yaml").write_text(json.dumps({
        "kind": "sweep", "scenario": "llama8b_gpu", "vary": {"traffic.concurrency": [1, 2]}}))
    sweep = [TANDEM, "sweep", tmp_path / "sweep.yaml", "--db", database, "--resume"]
    refused = subprocess.run(sweep, check=False, capture_output=True, text=True)
    assert refused.returncode == 2 and "no sweep of this version" in refused.stderr


def test_points_that_are_there_are_not_dropped_unasked(tmp_path):
    small = {**SWEEP, "vary": {"traffic.concurrency": [1]}}
    rows = tandem.sweep(small, db=tmp_path / "points.db", fidelity="analytical")
    with pytest.raises(tandem.ConfigError, match="1 points of an earlier run.*resume=True"):
        tandem.sweep(small, db=tmp_path / "points.db", fidelity="analytical")
    assert tandem.sweep(small, db=tmp_path / "points.db", force=True, fidelity="analytical") == rows


def test_set_changes_every_point_of_a_sweep_and_numbers_may_be_numpy_s(tmp_path):
    (tmp_path / "sweep.yaml").write_text(json.dumps({
        "kind": "sweep", "scenario": "llama8b_gpu", "vary": {"traffic.concurrency": [1, 2]},
        "set": {"traffic.requests": 3}}))
    changes = {"traffic.output_tokens": numpy.int64(16), "traffic.requests": numpy.int32(4)}
    rows = tandem.sweep(tmp_path / "sweep.yaml", set=changes, fidelity="analytical")
    assert [row["traffic.output_tokens"] for row in rows] == [16, 16]
    assert [row["traffic.requests"] for row in rows] == [4, 4]
    own = tandem.sweep("llama8b_gpu", {"traffic.concurrency": numpy.array([1, 2])}, set=changes,
                       fidelity="analytical")
    assert [row["e2e_ms"] for row in own] == [row["e2e_ms"] for row in rows]
    assert tandem.run("llama8b_gpu", set={**changes, "traffic.concurrency": numpy.int64(1)},
                      fidelity="analytical").summary["e2e_ms"] == rows[0]["e2e_ms"]
    with pytest.raises(tandem.ConfigError, match="has 2 values of this path"):
        tandem.sweep(tmp_path / "sweep.yaml", set={"traffic.concurrency": 3})


def test_mistakes_are_all_told():
    with pytest.raises(tandem.ConfigError) as caught:
        tandem.sweep({**SWEEP, "vary": {"traffic.concurrency": ["many"], "traffic.x": [1]}})
    messages = [entry["message"] for entry in caught.value.diagnostics]
    assert any("got 'many'" in message for message in messages)
    assert any("unknown key 'x'" in message for message in messages)


def test_a_cluster_that_loses_a_worker_loses_no_point(here, tmp_path, monkeypatch):
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("python3-distributed is not installed; scripts/install_dependencies.sh does it")
    import distributed
    from tandem import _studies

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True,
                                  dashboard_address=None,
                                  local_directory=str(tmp_path)) as cluster, \
            distributed.Client(cluster) as client:
        victim = next(iter(client.run(os.getpid).values()))
        through = _studies._dask_answers

        def kills_midway(client, tasks):
            for count, answer in enumerate(through(client, tasks)):
                if count == 2:
                    os.kill(victim, signal.SIGKILL)
                yield answer

        monkeypatch.setattr(_studies, "_dask_answers", kills_midway)
        rows = tandem.sweep(SWEEP, executor=client, db=tmp_path / "points.db",
                            fidelity="analytical")
        assert rows == here
        with pytest.raises(ProcessLookupError):
            os.kill(victim, 0)


def test_a_plan_finds_the_best_candidate():
    plan = {"goal": "cheapest", "set": {"traffic.requests": 32, "traffic.output_tokens": 16},
            "candidates": [{"scenario": "llama8b_gpu"},
                           {"scenario": "llama8b_gpu", "set": {"placement.tensor": 2}}],
            "loads": {"traffic.concurrency": [1, 4, 16]}, "slo": {"tpot_p99": "20 ms"}}
    found = tandem.plan(plan, fidelity="analytical")
    ok = [row for row in found.candidates if row["status"] == "ok" and not row["violated"]]
    assert found.best == min(ok, key=lambda row: row["usd_per_m_total_tokens"])
    assert {row["status"] for row in found.candidates} >= {"ok", "refused"}
    assert repr(found).startswith("answer: llama8b_gpu") and "hangs on most" in found.tornado
    assert tandem.plan({**plan, "slo": {"tpot_p99": "1 us"}}, fidelity="analytical").best is None


def test_a_plan_for_the_least_carbon_says_what_it_hangs_on():
    plan = {"goal": "least_carbon", "set": {"traffic.requests": 4, "traffic.output_tokens": 8},
            "candidates": [{"scenario": "llama8b_gpu"}], "loads": {"traffic.concurrency": [1, 4]}}
    found = tandem.plan(plan)
    assert "what economics.carbon_g_per_m_output_tokens hangs on" in found.tornado
    for parameter in ("prices.carbon", "prices.pue", "software.step_overhead"):
        assert parameter in found.tornado
    assert re.search(r"carbon_g_per_m_output_tokens +[\d.]+  \[[\d.]+, [\d.]+\]\n", found.page)
