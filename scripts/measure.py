#!/usr/bin/python3
"""Measures the figures that the documents quote and writes them to docs/measured.json.

Each figure carries the command that gave it, the commit and the seconds it took. Figures of parts
that are not run keep their last values.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TALES = ROOT / "workloads" / "checkpoints" / "little_tales"
STORIES = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data")) \
    / "models" / "stories260K"


MEASURED = ROOT / "docs" / "measured.json"


class Recorder:
    """Runs commands and keeps figures with their origin."""

    def __init__(self, tandem, tests):
        self.tandem = tandem
        self.tests = pathlib.Path(tests)
        self.figures = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
        self.commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True,
                                     capture_output=True, check=True).stdout.strip()

    def json_of(self, *arguments):
        """The JSON that a tandem command writes, the command as text, and the seconds it took."""
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out.json"
            started = time.monotonic()
            subprocess.run([self.tandem, *map(str, arguments), "--json", str(out)], check=True,
                           stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - started
            shown = [str(argument).replace(str(ROOT) + "/", "") for argument in arguments]
            return json.loads(out.read_text()), "tandem " + " ".join(shown), seconds

    def keep(self, name, value, command, seconds):
        """Notes one figure."""
        self.figures[name] = {"value": value, "command": command, "commit": self.commit,
                              "seconds": round(seconds, 2)}
        print(f"{name}: {value}")

    def write(self):
        """Writes all figures, those of earlier runs too."""
        MEASURED.write_text(json.dumps(self.figures, indent=1, sort_keys=True) + "\n")
        print(f"{len(self.figures)} figures in {MEASURED.relative_to(ROOT)}")


def model_arguments(folder):
    """Checkpoint and tokenizer options of a model folder."""
    if folder == STORIES:
        return ["--checkpoint", STORIES / "stories260K.bin", "--tokenizer", STORIES / "tok512.bin"]
    return ["--checkpoint", TALES / "model.bin", "--tokenizer", TALES / "tokenizer.bin"]


def measure_functional(recorder):
    """Text, latency and exactness of the functional runs."""
    cases = [("little_tales", TALES, "Once there was", 128)]
    if (STORIES / "stories260K.bin").exists():
        cases.append(("stories260k", STORIES, "", 200))
    for model, folder, prompt, tokens in cases:
        for kind in ("gpu", "lpu", "hybrid"):
            result, command, seconds = recorder.json_of(
                "generate", f"{model}_{kind}", *model_arguments(folder), "--prompt", prompt,
                "--tokens", tokens)
            if folder == STORIES:
                command = command.replace(str(STORIES), "$TANDEM_DATA/models/stories260K")
            for key, value in (("ttft_ms", result["timing"]["ttft_ms"]),
                               ("tpot_ms", result["timing"]["tpot_ms"]),
                               ("bound_ms", result["timing"]["bound_ms"]),
                               ("total_ms", result["timing"]["total_ms"]),
                               ("reference_max_abs_error",
                                result["checks"]["reference_max_abs_error"])):
                recorder.keep(f"{model}_{kind}.{key}", value, command, seconds)
            if kind == "gpu" and folder == STORIES:
                expected = (STORIES / "expected_greedy_200.txt").read_text()
                recorder.keep("stories260k_gpu.text_is_exact", result["text"] == expected, command,
                              seconds)


def measure_exactness(recorder):
    """The LPU against the reference in its own order and against plain float (4 prompts x 128), and
    property tests with 100,000 cases."""
    sizes = {"TANDEM_LPU_POSITIONS": "128", "TANDEM_LPU_CASES": "1500",
             "TANDEM_LPU_MUTANTS": "2000",
             "TANDEM_PROPERTY_CASES": "100000"}
    for folder_name, program in (("lpu", "lpu_model_tests"), ("lpu", "lpu_compiler_tests"),
                                 ("lpu", "lpu_machine_tests"), ("gpu", "gpu_system_test"),
                                 ("link", "link_test"), ("service", "service_test")):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out.json"
            started = time.monotonic()
            subprocess.run([str(recorder.tests / folder_name / program), f"--gtest_output=json:{out}"],
                           env={**os.environ, **sizes}, check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - started
            report = json.loads(out.read_text())
        command = " ".join(f"{name}={value}" for name, value in sizes.items()) + f" {program}"
        recorder.keep(f"{program}.passed", report["tests"] - report["failures"], command, seconds)
        for suite in report["testsuites"]:
            for case in suite["testsuite"]:
                for key in ("cycles", "positions", "agreeing", "difference"):
                    if key in case and program == "lpu_model_tests":
                        recorder.keep(f"{suite['name']}.{key}", case[key], command, seconds)


def measure_mathematics(recorder):
    """Operators, formats, closed forms and the reference model with 100,000 cases per property
    (TANDEM_PROPERTY_CASES: fewer); the oracle against every golden."""
    cases = os.environ.get("TANDEM_PROPERTY_CASES", "100000")
    for folder_name, program in (("numerics", "numerics_test"), ("lower", "lower_test")):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "out.json"
            started = time.monotonic()
            done = subprocess.run([str(recorder.tests / folder_name / program),
                                   f"--gtest_output=json:{out}"],
                                  env={**os.environ, "TANDEM_PROPERTY_CASES": cases},
                                  stdout=subprocess.DEVNULL)
            report = json.loads(out.read_text())
        command = f"TANDEM_PROPERTY_CASES={cases} {program}"
        seconds = time.monotonic() - started
        recorder.keep(f"{program}.passed", report["tests"] - report["failures"], command, seconds)
        recorder.keep(f"{program}.failed", report["failures"], command, seconds)
        if done.returncode and not report["failures"]:
            raise SystemExit(f"{program} ended with {done.returncode}")
    started = time.monotonic()
    command = ["scripts/oracle.py", "--check"]
    done = subprocess.run(["/usr/bin/python3", *command], cwd=ROOT, text=True, capture_output=True,
                          check=True)
    recorder.keep("oracle", done.stdout.strip().splitlines(), " ".join(command),
                  time.monotonic() - started)


def measure_capacity(recorder):
    """Highest load within the SLO, one GPU against the hybrid."""
    result, command, seconds = recorder.json_of("capacity", "llama8b_gpu", "llama8b_hybrid",
                                                "--store", "none")
    recorder.keep("capacity", result, command, seconds)


def measure_speed(recorder):
    """Wall time of the scenarios that an issue bounds, empty store, new process."""
    for scenario in ("llama8b_gpu", "llama8b_hybrid", "llama8b_gpu_pd", "llama8b_h200"):
        result, command, seconds = recorder.json_of("run", scenario, "--store", "none")
        recorder.keep(f"{scenario}.wall_s", round(seconds, 2), command, seconds)
        for key in ("output_tokens_per_s", "energy_j_per_output_token",
                    "usd_per_m_output_tokens"):
            recorder.keep(f"{scenario}.{key}", result["summary"][key], command, seconds)
        for key in ("ttft_ms", "tpot_ms"):
            recorder.keep(f"{scenario}.{key}.p99", result["summary"][key]["p99"], command, seconds)


def measure_techniques(recorder):
    """Same tokens in every cell of docs/conformance.md; pages of techniques made again in full."""
    test = pathlib.Path(recorder.tests) / "conformance" / "same_tokens_test"
    started = time.monotonic()
    subprocess.run([test], cwd=ROOT, env={**os.environ, "TANDEM_EVERY_CELL": "1"}, check=True)
    recorder.keep("techniques.same_tokens", "every cell holds", "TANDEM_EVERY_CELL=1 same_tokens_test",
                  time.monotonic() - started)
    for page in ("claims", "gdn"):
        started = time.monotonic()
        command = ["scripts/" + page + "_page.py", "--check"]
        subprocess.run(["/usr/bin/python3", "-B", *command, "--tandem", recorder.tandem], cwd=ROOT, check=True)
        recorder.keep(f"techniques.{page}_page", "as committed", " ".join(command), time.monotonic() - started)


def measure_models(recorder):
    """The bundled models: perplexity, grammar, vocabulary and what their drafts are worth."""
    for folder in sorted((ROOT / "workloads" / "checkpoints").iterdir()):
        if not folder.is_dir():
            continue
        started = time.monotonic()
        command = ["scripts/train_small_model.py", folder.name, "--check"]
        done = subprocess.run(["/usr/bin/python3", *command], cwd=ROOT, text=True,
                              capture_output=True, check=True)
        recorder.keep(f"{folder.name}.check", done.stdout.strip().splitlines(), " ".join(command),
                      time.monotonic() - started)


def measure_accuracy(recorder):
    """Errors against the measured tables, 500 rows of each, with bias, p90 and the roofline; speed."""
    data = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "manifest.yaml").exists():
        raise SystemExit("the measured tables are not in TANDEM_DATA: nothing to compare to")
    with tempfile.TemporaryDirectory() as folder:
        figures = pathlib.Path(folder) / "figures.json"
        subprocess.run(["/usr/bin/python3", "-B", ROOT / "scripts" / "validation_page.py",
                        "--tandem", recorder.tandem, "--sample", "500", "--seed", "1", "--figures", figures],
                       check=True)
        result = json.loads(figures.read_text())
    command, seconds = "scripts/validation_page.py --sample 500", result["seconds"]
    predicted = 0
    for table in result["tables"]:
        if not table["predicted_rows"]:
            continue
        predicted += table["predicted_rows"]
        name = ".".join(("accuracy", table["table"], table["dtype"] or "-", table["metric"]))
        figures = {key: table[key] and round(table[key], 2) for key in
                   ("rows", "predicted_rows", "mape_percent", "bias_percent", "p90_ape_percent",
                    "baseline_mape_percent")}
        recorder.keep(name, figures, command, seconds)
    recorder.keep("accuracy.rows_per_s", round(predicted / seconds), command, seconds)


def measure_services(recorder):
    """Errors against every row of the measured services, and the page of it."""
    data = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))
    arguments = ["scripts/services_page.py", "--sample", "all"]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = pathlib.Path(folder) / "rows.json"
        subprocess.run(["/usr/bin/python3", "-B", *arguments, "--tandem", recorder.tandem, "--data", data,
                        "--rows", rows], cwd=ROOT, check=True)
        cases = json.loads(rows.read_text())
    command, seconds = " ".join(arguments), time.monotonic() - started
    for table in sorted({case["table"] for case in cases}):
        chosen = [case for case in cases if case["table"] == table]
        recorder.keep(f"services.{table}.rows", len(chosen), command, seconds)
        recorder.keep(f"services.{table}.predicted", sum(bool(case["predicted"]) for case in chosen), command, seconds)
        for metric in sorted({metric for case in chosen for metric in case["measured"]}):
            ratios = [case["predicted"][metric] / case["measured"][metric] for case in chosen
                      if case["predicted"].get(metric) and case["measured"].get(metric)]
            if ratios:
                error = 100 * sum(abs(ratio - 1) for ratio in ratios) / len(ratios)
                recorder.keep(f"services.{table}.{metric}.mape_percent", round(error, 2), command, seconds)


def measure_traces(recorder):
    """The Azure conversation trace at 70 % of capacity: audit of interpolated steps, a slice against --exact."""
    data = pathlib.Path(os.environ.get("TANDEM_DATA", ROOT.parent / "shared" / "data"))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "figures.json"
        subprocess.run(["/usr/bin/python3", "-B", ROOT / "scripts" / "trace_study.py", "--tandem",
                        recorder.tandem, "--data", data, "--json", out], check=True)
        found = json.loads(out.read_text())
    for name, figures in found.items():
        recorder.keep(f"traces.azure.{name}", figures, "scripts/trace_study.py", time.monotonic() - started)


PARTS = {"accuracy": measure_accuracy, "services": measure_services, "traces": measure_traces,
         "functional": measure_functional, "exactness": measure_exactness,
         "mathematics": measure_mathematics,
         "capacity": measure_capacity, "speed": measure_speed,
         "model": measure_models, "techniques": measure_techniques}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", default=str(ROOT / "build/release/sim/entry/tandem"))
    parser.add_argument("--tests", default=str(ROOT / "build/ci/tests"))
    parser.add_argument("part", choices=[*PARTS, "all"])
    arguments = parser.parse_args()
    recorder = Recorder(arguments.tandem, arguments.tests)
    for name, measure in PARTS.items():
        if arguments.part in (name, "all"):
            measure(recorder)
    recorder.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
