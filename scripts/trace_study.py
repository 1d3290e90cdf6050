#!/usr/bin/python3
"""What interpolated steps do to a day's trace: trace_study.py --tandem T --data DIR [--json FILE].

Llama 3.1 70B serves the Azure conversation trace (19,366 requests) on a DGX H100, and with prompts there
and tokens on LPX racks, at 70 % of the highest load within the SLO. The whole trace is audited; 500
requests of it run again with every step simulated (--exact), and with each step's time drawn within
0.1 % of its own, which shows how much of a change is chance. Prints a table for docs/serving.md.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile

TRACE = "traces/azure_llm_2023_conv.csv"
FORMATS = "{weights: bfloat16, kv_cache: bfloat16, activations: bfloat16}"
SCENARIOS = {
    "DGX H100": f"""kind: scenario
model: llama-3.1-70b
system: dgx_h100
placement: {{mode: monolithic, pool: gpu, tensor: 8, precision: {FORMATS}}}
slo: {{ttft_p99: 2 s, tpot_p99: 100 ms}}
""",
    "DGX H100, LPX": f"""kind: scenario
model: llama-3.1-70b
system: {{name: dgx_h100_lpx, lpx_racks: 5}}
placement:
  mode: disaggregated
  prefill: {{pool: gpu, tensor: 8, precision: {FORMATS}}}
  decode: {{pool: lpu, tensor: 16, pipeline: 80, precision: {{weights: fp8, kv_cache: fp8, activations: float16}}}}
slo: {{ttft_p99: 2 s, tpot_p99: 100 ms}}
"""}
SERVING = "serving: {policy: vllm_v1, max_batch_tokens: 8192, max_sequences: 512, kv_block_tokens: 16}\n"
SHARE_OF_CAPACITY, SEARCHED, SLICE = 0.7, 1000, 500
LATENCIES = ("ttft_ms", "tpot_ms", "e2e_ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", required=True)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--store", help="a folder that is kept; without it one that begins empty")
    parser.add_argument("--only", choices=[*SCENARIOS], help="one of the systems")
    parser.add_argument("--capacity", type=float, help="requests/s, where it is known")
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Study(arguments.tandem, arguments.data, arguments.store, pathlib.Path(folder))
        found = {name: study.of(name, arguments.capacity) for name in SCENARIOS if arguments.only in (None, name)}
    print(page(found), end="")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


class Study:
    """Runs of the trace's scenarios."""

    def __init__(self, tandem, data, store, folder):
        self.tandem, self.trace, self.folder = tandem, (data / TRACE).resolve(), folder
        self.store = store or folder / "store"

    def of(self, name, capacity):
        """Figures of one system; without its capacity that is looked for."""
        self.path = self.folder / "scenario.yaml"
        trace = f"trace: {{file: {self.trace}, format: azure}}"
        self.path.write_text(SCENARIOS[name] + SERVING + f"traffic: {{arrivals: trace, rate: 4 req/s, {trace}}}\n")
        highest = capacity or self.capacity()
        load = f"traffic.rate={SHARE_OF_CAPACITY * highest} req/s"
        whole, seconds = self.json_of("run", "--set", load)
        sliced = ("run", "--set", load, "--set", f"traffic.requests={SLICE}")
        quick, _ = self.json_of(*sliced)
        exact, _ = self.json_of(*sliced, "--exact")
        drawn, _ = self.json_of(*sliced, "--exact", "--perturb", "0.1%")
        return {"capacity": highest, "summary": whole["summary"], "steps": whole["steps"],
                "busy": {name: pool["busy"] for name, pool in whole["pools"].items()},
                "cpu_s": seconds,
                "exact_steps": exact["steps"]["simulated"],
                "interpolated": changes(quick, exact), "perturbed": changes(drawn, exact)}

    def capacity(self):
        """The highest load at which the first requests are within the SLO, requests/s."""
        searched, _ = self.json_of("capacity", "--set", f"traffic.requests={SEARCHED}")
        return searched["systems"][0]["load"]

    def json_of(self, command, *options):
        """What a command writes as JSON, and the CPU seconds it took."""
        out, before = self.folder / "out.json", cpu_seconds()
        subprocess.run([self.tandem, command, self.path, *options, "--store", self.store, "--json", out],
                       check=True, stdout=subprocess.DEVNULL)
        return json.loads(out.read_text()), round(cpu_seconds() - before, 1)


def cpu_seconds():
    """User and system time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def changes(run, reference):
    """Latencies of a run against another's: shares by figure."""
    return {f"{name}.{of}": run["summary"][name][of] / reference["summary"][name][of] - 1
            for name in LATENCIES for of in ("mean", "p99")}


def page(found):
    """The figures as a table, a system per column."""
    rows = [("highest load within the SLO, requests/s", lambda f: f"{f['capacity']:.2f}"),
            ("load of the runs", lambda f: f"{SHARE_OF_CAPACITY * f['capacity']:.2f}"),
            ("busy", lambda f: ", ".join(f"{name} {100 * busy:.0f} %" for name, busy in f["busy"].items())),
            ("TTFT p50 / p99, ms", lambda f: latency(f, "ttft_ms")),
            ("TPOT p50 / p99, ms", lambda f: latency(f, "tpot_ms")),
            ("steps, simulated, interpolated",
             lambda f: " / ".join(f"{f['steps'][key]:,}" for key in ("total", "simulated", "interpolated"))),
            ("audit: mean error of an interpolated step (95 % bound)",
             lambda f: f"{percent(f['steps']['audit']['mean_error'])} "
                       f"({percent(f['steps']['audit']['mean_error_bound'])})"),
            ("audit: on TPOT p99", lambda f: percent(f["steps"]["audit"]["tpot_p99_error"])),
            ("CPU s", lambda f: f"{f['cpu_s']}")]
    for name in LATENCIES:
        for of in ("mean", "p99"):
            rows.append((f"{SLICE} requests against --exact: {name[:-3].upper()} {of} (0.1 % drawn)",
                         lambda f, key=f"{name}.{of}": f"{percent(f['interpolated'][key])} "
                                                       f"({percent(f['perturbed'][key])})"))
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    lines += [f"| {label} | " + " | ".join(cell(figures) for figures in found.values()) + " |"
              for label, cell in rows]
    return "\n".join(lines) + "\n"


def latency(figures, name):
    """Median and 99th percentile of the whole trace."""
    return f"{figures['summary'][name]['p50']:.1f} / {figures['summary'][name]['p99']:.1f}"


def percent(share):
    """A share as text."""
    return f"{100 * share:.2f} %"


if __name__ == "__main__":
    sys.exit(main())
