#!/usr/bin/python3
"""Plans give the answer of the whole search, and leave candidates out on the way. Prints what failed
and exits 1 if anything did. Usage: check_plans.py TANDEM."""

import contextlib
import json
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile

# Grids of a sweep and candidates of a plan: LOADS is where the sweep has the plan's loads.
SHAPES = """
  - scenario: llama70b_gpu
    vary:
      shape:
        - {placement.tensor: 8}
        - {placement.tensor: 4, placement.replicas: 2}
        - {placement.tensor: 4, placement.pipeline: 2}
        - {placement.tensor: 2, placement.replicas: 4}
        - {placement.tensor: 16}
      formats:
        - {placement.precision: {weights: bfloat16, kv_cache: bfloat16, activations: bfloat16}}
        - {placement.precision: {weights: fp8, kv_cache: fp8, activations: bfloat16}}
      LOADS"""

LOADS = "traffic.concurrency: [1, 12]"

# Users that come when they come, to a GPU in two formats and to a GPU with LPUs behind it.
OPEN = """
  - scenario: llama8b_gpu
    set: {traffic.arrivals: poisson}
    vary:
      placement.precision.weights: [bfloat16, fp8]
      LOADS
  - scenario: llama8b_hybrid
    set: {traffic.arrivals: poisson}
    vary:
      placement.decode.spares: [0]
      LOADS"""

# The scenario's own SLO is narrow: a plan that gives one is held to that, another to this.
COMMON = ("{traffic.requests: 24, traffic.prompt_tokens: 256, traffic.output_tokens: 32, "
          "slo.ttft_p99: 100 ms, slo.tpot_p99: 15 ms}")

# goal, the figure and its direction, the limits as keys of the plan and as constraints, what the
# page says of the SLO, and the candidates with their loads and how many that makes
CASES = [
    ("cheapest", "usd_per_m_total_tokens", "minimize",
     "slo: {ttft_p99: 1 s, tpot_p99: 12 ms}", ["ttft_ms.p99 <= 1000", "tpot_ms.p99 <= 12"],
     "SLO of the plan: ttft_ms.p99 <= 1000, tpot_ms.p99 <= 12\n", SHAPES, LOADS, 20),
    ("most_tokens", "output_tokens_per_s", "maximize",
     "limits: {chips: 8, power: 20 kW}",
     ["chips <= 8", "average_power_w <= 20000", "ttft_ms.p99 <= 100", "tpot_ms.p99 <= 15"],
     "SLO of scenario llama70b_gpu: ttft_ms.p99 <= 100, tpot_ms.p99 <= 15\n", SHAPES, LOADS, 20),
    ("least_energy", "energy_j_per_output_token", "minimize",
     "limits: {output_tokens_per_s: 300}\nslo: {}", ["output_tokens_per_s >= 300"],
     "SLO of the plan: none\n", SHAPES, LOADS, 20),
    ("fastest", "output_tokens_per_s_per_user", "maximize",
     "limits: {budget: 60 USD/h}\nslo: {ttft_p99: 1 s, tpot_p99: 4.2 ms}",
     ["usd_per_hour_used <= 60", "ttft_ms.p99 <= 1000", "tpot_ms.p99 <= 4.2"],
     "SLO of the plan: ttft_ms.p99 <= 1000, tpot_ms.p99 <= 4.2\n", OPEN, "traffic.rate: [4 req/s, 40 req/s]", 6),
]


def best_row(database, figure, direction):
    """The best row that is ok and violates nothing: (overrides, figure)."""
    order = "ASC" if direction == "minimize" else "DESC"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(
            f"SELECT overrides, {figure} FROM points WHERE status = 'ok' AND violated = '' AND "
            f"{figure} IS NOT NULL ORDER BY {figure} {order}, point LIMIT 1").fetchone()


def front(database, figure, direction):
    """Rows that no other beats in the figure and in the speed for a user."""
    sign = 1 if direction == "maximize" else -1
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            f"SELECT overrides, {figure}, output_tokens_per_s_per_user FROM points WHERE status = "
            "'ok' AND violated = ''").fetchall()
    return {a for a, goal, speed in rows
            if not any(sign * other >= sign * goal and fast >= speed
                       and (sign * other > sign * goal or fast > speed) for _, other, fast in rows)}


def run(tandem, *arguments):
    """Standard output of a command that has to succeed."""
    done = subprocess.run([tandem, *arguments], capture_output=True, text=True, check=False,
                          timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {done.returncode}\n{done.stderr}")
    return done.stdout


def rows_of(database):
    """Rows but for results."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT point, config_hash, overrides, status, error, violated "
                                  "FROM points ORDER BY point").fetchall()


def check_tornado(database, figure):
    """Whether the database has the bars of the answer."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT largest - least, figure FROM tornado ORDER BY rank").fetchall()
    lengths = [row[0] for row in rows]
    return (0 < len(rows) <= 10 and lengths == sorted(lengths, reverse=True) and lengths[-1] > 0
            and {row[1] for row in rows} == {figure})


def refusal(tandem, plan, database, store):
    """What is wrong where a database has points: it is said before candidates are bounded."""
    done = subprocess.run([tandem, "plan", plan, "--db", database, "--store", store],
                          capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 2 or "of an earlier run" not in done.stderr:
        yield f"a database with points: exit code {done.returncode}, {done.stderr}"
    if store.exists():
        yield "candidates were bounded for a database that is refused"


def main():
    tandem = sys.argv[1]
    failures, pruned = [], 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for goal, figure, direction, limits, constraints, slo, shapes, loads, count in CASES:
            plan, sweep = folder / f"{goal}.yaml", folder / f"{goal}_all.yaml"
            plan.write_text(f"kind: plan\ngoal: {goal}\nset: {COMMON}\ncandidates:"
                            f"{shapes.replace('LOADS', '')}\n"
                            f"loads: {{{loads}}}\n{limits}\n")
            sweep.write_text(f"kind: sweep\nset: {COMMON}\ngrids:"
                             f"{shapes.replace('LOADS', loads)}\n"
                             f"constraints: {json.dumps(constraints)}\n")
            store = str(folder / "store")
            whole, searched = folder / f"{goal}_all.db", folder / f"{goal}.db"
            run(tandem, "sweep", sweep, "--db", whole, "--store", store, "--workers", "2")
            page = run(tandem, "plan", plan, "--db", searched, "--store", store, "--workers", "2")
            expected = best_row(whole, figure, direction)
            if expected is None or best_row(searched, figure, direction) != expected:
                failures.append(f"{goal}: {best_row(searched, figure, direction)} is not {expected}")
            if not page.startswith("answer: ") or f" with {expected[0]}\n" not in page:
                failures.append(f"{goal}: the page says\n{page}")
            if slo not in page:
                failures.append(f"{goal}: '{slo}' is missing in\n{page}")
            if "hangs on most" not in page:
                failures.append(f"{goal}: no tornado in\n{page}")
            if "usd" in figure and not re.search(r"prices\.life .*\(3 years to 6 years, ", page):
                failures.append(f"{goal}: the tornado's ranges have no units in\n{page}")
            if not check_tornado(searched, figure):
                failures.append(f"{goal}: the tornado's rows are not ten at most, longest first")
            if front(searched, figure, direction) != front(whole, figure, direction):
                failures.append(f"{goal}: another Pareto front")
            rows = rows_of(searched)
            pruned += sum(row[3] == "pruned" for row in rows)
            if len(rows) != count:
                failures.append(f"{goal}: {len(rows)} rows")
            run(tandem, "plan", plan, "--db", searched, "--store", store, "--force")
            if rows_of(searched) != rows:
                failures.append(f"{goal}: one worker differs from two")
        failures += refusal(tandem, plan, searched, folder / "unused")
    if pruned < 10:
        failures.append(f"only {pruned} candidates were left out")
    print("\n".join(failures) or f"all equal, {pruned} of 66 candidates left out")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
