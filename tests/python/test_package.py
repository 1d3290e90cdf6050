"""The package as a program uses it: equal to the command line, under threads and processes, typed,
quick to import, installable."""

import concurrent.futures
import importlib.util
import json
import multiprocessing
import os
import pathlib
import pickle
import subprocess
import sys
import threading

import pandas
import pytest

import tandem

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = {"traffic.requests": 4, "traffic.concurrency": 2, "traffic.prompt_tokens": 64,
        "traffic.output_tokens": 3}
SETS = [f"--set={path}={value}" for path, value in TINY.items()]


def command(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True,
                          timeout=120).stdout


def comparable(text):
    """A result without what depends on the host."""
    def without(value):
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key != "run"}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(json.loads(text))


def test_results_equal_those_of_the_command(tandem_program):
    told = command(tandem_program, "run", "llama8b_gpu", *SETS, "--store", "none", "--json", "-")
    assert comparable(told) == comparable(tandem.run("llama8b_gpu", set=TINY).text)
    told = command(tandem_program, "capacity", "llama8b_gpu", *SETS, "--set=slo.ttft_p99=20 ms",
                   "--store", "none", "--json", "-")
    found = tandem.capacity("llama8b_gpu", set={**TINY, "slo.ttft_p99": "20 ms"})
    assert comparable(told) == comparable(found.text)
    assert "llama8b_gpu" in found._repr_html_()
    assert found.frame()["load"].tolist() == [found.systems[0]["load"]]
    told = command(tandem_program, "capacity", "--map", "llama8b_gpu", "--contexts", "1024,8192",
                   "--users", "1,16", "--store", "none", "--json", "-")
    users = tandem.capacity_map("llama8b_gpu", contexts=[1024, 8192], users=[1, 16])
    assert told.rstrip() == users.text.rstrip()
    assert users.frame()["users"].tolist() == [1, 16, 1, 16]
    assert users.frame()["most_users"].tolist() == [256, 256, *[users.systems[0]["rows"][1]["most_users"]] * 2]
    assert "1024" in users._repr_html_() and "8192" in repr(users)
    with pytest.raises(tandem.ConfigError, match="from 1 on"):
        tandem.capacity_map("llama8b_gpu", users=[0])
    told = command(tandem_program, "step", "llama8b_gpu", "--requests", 4, "--store", "none",
                   "--json", "-")
    assert comparable(told) == comparable(json.dumps(tandem.step("llama8b_gpu", requests=4).data))


def test_kernels_and_descriptions_equal_those_of_the_command(tandem_program, tmp_path):
    rows = pandas.DataFrame({"m": [64, 4096], "n": [4096, 4096], "k": [4096, 4096],
                             "dtype": ["bfloat16", "bfloat16"]})
    rows.to_csv(tmp_path / "in.csv", index=False)
    command(tandem_program, "kernels", "--chip", "h100_sxm", "--op", "gemm", "--csv",
            tmp_path / "in.csv", "--out", tmp_path / "out.csv")
    told = pandas.read_csv(tmp_path / "out.csv")
    pandas.testing.assert_frame_equal(tandem.kernels("h100_sxm", "gemm", rows), told)
    columns = tandem.kernels("h100_sxm", "gemm", rows.to_dict("list"))
    pandas.testing.assert_frame_equal(columns, told)
    chip = tandem.describe("h100_sxm")
    assert chip.text == command(tandem_program, "describe", "h100_sxm")
    assert chip.parameters["hbm_bandwidth"] == {
        "value": 3.35e12, "dimension": "bandwidth", "basis": "datasheet",
        "source": "nvidia-h100-datasheet", "low": None, "high": None}
    model = tandem.describe("llama-3.1-8b", batch=2, context=100)
    head = next(row for row in model.operators["decode"] if row["role"] == "lm_head")
    assert head["matrix_flops"] == 2 * 2 * 4096 * 128256
    assert head["weight_bytes"] == 2 * 4096 * 128256


def test_requests_are_a_view_of_what_came_back():
    result = tandem.run("llama8b_gpu", set=TINY)
    rows = result.requests
    assert rows.base is not None and not rows.flags.writeable and not rows.flags.owndata
    frame = result.frame()
    assert frame.index.tolist() == rows["id"].tolist()
    assert frame["e2e_ms"].mean() == pytest.approx(result.summary["e2e_ms"]["mean"])
    assert (rows["prompt"] == 64).all() and (rows["output"] == 3).all()


def test_eight_threads_find_the_same():
    expected = comparable(tandem.run("llama8b_gpu", set=TINY).text)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: comparable(tandem.run("llama8b_gpu", set=TINY).text),
                              range(24)))
    assert all(each == expected for each in found)


def test_other_threads_run_while_a_simulation_does():
    done = threading.Event()
    runner = threading.Thread(target=lambda: (tandem.run("llama8b_gpu"), done.set()))
    runner.start()
    turns = 0
    while not done.wait(0.001):
        turns += 1
    runner.join()
    assert turns > 20


def seed_of(seed):
    return comparable(tandem.run("llama8b_gpu", set=TINY, seed=seed).text)


def wrong(_):
    tandem.run("llama8b_gpu", set={"traffic.requests": -1})


def test_a_spawned_pool_of_two_and_errors_across_it():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(seed_of, range(4))) == [seed_of(seed) for seed in range(4)]
        with pytest.raises(tandem.ConfigError) as caught:
            pool.submit(wrong, 0).result()
    assert caught.value.diagnostics[0]["message"]
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.diagnostics == caught.value.diagnostics


def test_a_dictionary_is_a_scenario():
    scenario = {"model": "llama-3.1-8b", "system": {"name": "h100_single"},
                "placement": {"mode": "monolithic", "pools": {}},
                "traffic": {"requests": 2}}
    with pytest.raises(tandem.ConfigError) as caught:
        tandem.run(scenario)
    assert all(entry["line"] > 0 for entry in caught.value.diagnostics)


def test_import_is_quick_and_takes_no_heavy_package():
    code = ("import sys, time; start = time.process_time(); import tandem; "
            "taken = time.process_time() - start; "
            "print(taken, [m for m in ('numpy', 'pandas', 'matplotlib') if m in sys.modules])")
    taken, heavy = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True,
                                  text=True, timeout=60).stdout.split(maxsplit=1)
    assert float(taken) < 0.3
    assert heavy.strip() == "[]"


def test_types_hold():
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("python3-mypy is not installed; scripts/install_dependencies.sh does it")
    folder = ROOT / "tests" / "python"
    package = pathlib.Path(tandem.__file__).parent
    assert (package / "py.typed").exists()
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(folder / "mypy.ini"), str(package),
         str(folder / "typed_sample.py")], capture_output=True, text=True, timeout=200, check=False)
    assert checked.returncode == 0, checked.stdout


def test_reports_are_those_of_the_command(tandem_program, tmp_path):
    result = tandem.run("llama8b_gpu", set=TINY)
    try:
        page = tandem.report(result, tmp_path / "here.html")
    except tandem.ConfigError as error:
        pytest.skip(str(error))
    (tmp_path / "result.json").write_text(result.text)
    command(tandem_program, "report", tmp_path / "result.json", "-o", tmp_path / "there.html")
    assert page.read_bytes() == (tmp_path / "there.html").read_bytes()
    assert page.read_bytes() == tandem.report(tmp_path / "result.json",
                                              tmp_path / "file.html").read_bytes()


def test_pip_installs_a_package_that_brings_its_data(tmp_path):
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("wheel") is None:
        pytest.skip("python3-pip or python3-wheel is not installed")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps",
                    "--no-index", "--quiet", "--target", str(tmp_path / "site"), str(ROOT)],
                   check=True, capture_output=True, timeout=250,
                   env={**environment, "TANDEM_CMAKE_BUILD": os.environ["TANDEM_BUILD"]})
    code = ("import os, tandem; r = tandem.run('llama8b_gpu', fidelity='analytical', "
            "set={'traffic.requests': 2}); print(os.environ['TANDEM_HOME'], tandem.__file__)")
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                          timeout=100, cwd=tmp_path,
                          env={**environment, "PYTHONPATH": str(tmp_path / "site")}).stdout
    home, file = told.split()
    assert home.startswith(str(tmp_path)) and file.startswith(str(tmp_path))


def test_cmake_installs_program_package_and_data(tmp_path):
    subprocess.run(["cmake", "--install", os.environ["TANDEM_BUILD"], "--prefix", str(tmp_path)],
                   check=True, capture_output=True, timeout=100)
    assert command(tmp_path / "bin" / "tandem", "--version").startswith("tandem ")
    package, = tmp_path.glob("lib/python3*/site-packages/tandem")
    assert {path.name for path in package.iterdir()} >= {"__init__.py", "plot.py", "py.typed",
                                                         "_core.pyi"}
    assert list(package.glob("_core*.so"))
    assert (tmp_path / "share" / "tandem" / "hw_configs" / "chips").is_dir()
