#!/usr/bin/python3
"""The pages of `tandem report` in headless Chromium against the results they show.

Usage: check_report.py TANDEM [FOLDER]. Screenshots go to FOLDER. Exit code 77 and a line that says
so where there is no Chromium.
"""

import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chromium  # noqa: E402

QUICK = ["--store", "none", "--set", "traffic.requests=12", "--set", "traffic.concurrency=4",
         "--set", "traffic.output_tokens=8"]
# No text of a result may become part of the page's own markup.
HOSTILE = "</script><img src=x onerror=console.error(1)>@PLOTLY@"


def expect(condition, message):
    if not condition:
        raise SystemExit(f"check_report: {message}")


def tandem(*arguments, code=0):
    done = subprocess.run([sys.argv[1], *map(str, arguments)], capture_output=True, text=True,
                          timeout=200, check=False)
    expect(done.returncode == code, f"{arguments} gave {done.returncode}: {done.stderr}")
    return done


def opened(page, source, name, folder):
    target = folder / f"{name}.html"
    tandem("report", source, "-o", target)
    page.open(target)
    page.settle()
    if len(sys.argv) > 2:
        page.resize(1280, 2400)
        page.settle()
        page.screenshot(pathlib.Path(sys.argv[2]) / f"{name}.png")
        page.resize(1280, 900)
    expect(not page.errors, f"{name}: the console says {page.errors}")
    outside = [url[:99] for url in page.requests if not url.startswith(("file://", "data:"))]
    expect(not outside, f"{name}: the page asks for {outside}")
    wide = page.run("document.documentElement.scrollWidth")
    expect(wide <= 1280, f"{name}: {wide} pixels wide in a window of 1280")


def headings(page):
    return page.run("[...document.querySelectorAll('h2')].map((h) => h.textContent)")


def traces(page, heading):
    """The data of the charts below a heading: [[{name, x, y}]]."""
    return page.run(f"""[...document.querySelectorAll('section')].filter((s) =>
      s.querySelector('h2')?.textContent === {json.dumps(heading)}).flatMap((s) =>
      [...s.querySelectorAll('.js-plotly-plot')].map((c) => c.data.map((t) =>
        ({{name: t.name, x: t.x, y: t.y}}))))""")


def check_run(page, folder):
    source = folder / "run.json"
    tandem("run", "llama8b_gpu_pd", *QUICK, "--json", source)
    result = json.loads(source.read_text())
    result["warnings"] = [HOSTILE]
    result["timelines"] = {"start_s": 0.5, "bin_s": 0.25, "output_tokens_per_s": [7, 8, 9],
                           "pools": {"decode": {"kv_unit": "blocks", "waiting": [1, 2, 3],
                                                "waiting_peak": [4, 5, 6]}}}
    result["economics"] = {"owned_usd_per_hour": 3.0, "tiers": {"retail": {
        "revenue_usd_per_hour": 5.0, "margin": 0.4}}}
    result["fidelity"] = "analytical"
    source.write_text(json.dumps(result))
    opened(page, source, "run", folder)
    tile = page.run("document.querySelector('[data-key=output_tokens_per_s]').innerText").split("\n")
    shown = float(tile[1].split()[0].replace(",", ""))
    expect(abs(shown / result["summary"]["output_tokens_per_s"] - 1) < 1e-3, f"throughput: {tile}")
    energy = page.run("document.querySelector('[data-key=energy_j_per_output_token] .band').innerText")
    low = float(energy.split(" to ")[0])
    expect(abs(low / result["bands"]["energy_j_per_output_token"][0] - 1) < 1e-3, f"band: {energy}")
    warnings = page.run("document.querySelector('.warnings').innerText")
    expect(HOSTILE in warnings and "analytical" in warnings, f"warnings: {warnings}")
    latency = traces(page, "Latency")[0]
    expect(latency[0]["y"][-1] == result["summary"]["ttft_ms"]["p99"], f"TTFT: {latency[0]}")
    steps = traces(page, "Where the time of a step goes")[0]
    expect(all(abs(sum(trace["x"][pool] for trace in steps) - 100) < 0.01 for pool in (0, 1)),
           "the parts of a step do not add up to the whole")
    inputs = traces(page, "Inputs that matter most")[0]
    expect(sum(len(trace["x"]) for trace in inputs) == len(result["provenance"]), "provenance")
    series = [trace for chart in traces(page, "Over time") for trace in chart]
    expect([trace["y"] for trace in series] == [[7, 8, 9], [1, 2, 3], [4, 5, 6]], f"{series}")
    expect(series[0]["x"] == [0.5, 0.75, 1.0], f"{series}")
    money = traces(page, "Money")[0][0]
    expect(money["x"][1:] == [3.0, 5.0], f"{money}")
    expect("Bottlenecks" in headings(page), f"{headings(page)}")


def check_capacity(page, folder):
    source = folder / "capacity.json"
    tandem("capacity", "llama8b_gpu", "llama8b_gpu_fp8", "--curve", "--store", "none", "--set",
           "traffic.requests=8", "--set", "traffic.output_tokens=4", "--set",
           "traffic.prompt_tokens=128", "--set", "slo.ttft_p99=30 ms", "--json", source)
    systems = json.loads(source.read_text())["systems"]
    opened(page, source, "capacity", folder)
    drawn = traces(page, "Throughput against interactivity")[0]
    for trace, system in zip(drawn, systems, strict=True):
        expect(trace["name"] == system["scenario"], f"{trace['name']}")
        expect(trace["x"] == [p["output_tokens_per_s_per_user"] for p in system["curve"]],
               f"curve of {trace['name']}")
    expect(headings(page).count("Headline figures") == 2, "one part per system")


def check_map(page, folder):
    source = folder / "map.json"
    cell = {"fits": True, "bound": "hbm", "output_tokens_per_s_per_user": 120.0}
    source.write_text(json.dumps({"systems": [{"scenario": "one", "rows": [
        {"context_tokens": 1024, "most_users": 4, "limit": "kv", "cells": [
            {**cell, "users": 1}, {"users": 8, "fits": False, "bound": "kv",
                                   "output_tokens_per_s_per_user": None}]}]}]}))
    opened(page, source, "map", folder)
    text = page.run("document.getElementById('content').textContent")
    expect("does not fit" in text and "120" in text, text)


def check_sweep(page, folder):
    sweep = folder / "three.yaml"
    sweep.write_text("kind: sweep\nscenario: llama8b_gpu\nvary:\n  traffic.requests: [8]\n"
                     "  traffic.output_tokens: [4]\n  traffic.concurrency: [1, 2, 4]\n")
    database = folder / "three.db"
    tandem("sweep", sweep, "--db", database, "--store", "none")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT output_tokens_per_s_per_user, output_tokens_per_s "
                                  "FROM points ORDER BY point").fetchall()
        connection.execute("UPDATE points SET violated = 'ttft_ms.p99 < 1' WHERE point = 1")
        connection.execute("INSERT INTO points (point, overrides, status, error) "
                           "VALUES (3, 'traffic.concurrency=8', 'error', 'needs 90 GB')")
    opened(page, database, "sweep", folder)
    front = [(mark["x"], mark["y"]) for mark in page.run(
        "window.sweep.front.map(({x, y}) => ({x, y}))")]
    kept = [row for point, row in enumerate(rows) if point != 1]
    best = sorted(row for row in kept if not any(
        other != row and other[0] >= row[0] and other[1] >= row[1] for other in kept))
    expect(front == best, f"Pareto front {front}, not {best}")
    symbols = page.run("""[...document.querySelectorAll('.js-plotly-plot')][0].data.flatMap((t) =>
      (t.marker?.symbol || []).map((symbol, i) => [t.customdata[i], symbol]))""")
    expect(sorted(symbols) == [[0, "circle"], [1, "circle-open"], [2, "circle"]], f"{symbols}")
    said = page.run("document.querySelector('tr[data-point=\"1\"]').innerText")
    expect("ttft_ms.p99 < 1" in said, f"the row of a point that breaks a constraint: {said}")
    expect("needs 90 GB" in page.run("document.querySelector('.warnings').innerText"), "failures")
    page.run("document.querySelector('tr[data-point=\"1\"]').click()")
    page.settle()
    expect(page.run("document.querySelector('h3').textContent").startswith("Point 1: "), "details")
    expect("Where the time of a step goes" in headings(page), "sections of a point")
    page.run("""(() => { const s = document.getElementById('up'); s.value = 'ttft_ms.p99';
      s.dispatchEvent(new Event('change')); })()""")
    expect(not page.errors, f"sweep: the console says {page.errors}")
    page.resize(500, 900)
    page.settle()
    wide = page.run("document.documentElement.scrollWidth")
    expect(wide <= 500, f"{wide} pixels wide in a window of 500")
    page.resize(1280, 900)


def check_sweep_without_results(page, folder):
    database = folder / "none.db"
    database.write_bytes((folder / "three.db").read_bytes())
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE points SET status = 'refused', result = ''")
    opened(page, database, "none", folder)
    said = page.run("document.body.innerText")
    expect("No point has a result yet" in said and "4 points without a result" in said, said)
    expect(page.run("document.querySelectorAll('.js-plotly-plot').length") == 0, "an empty plot")
    expect(not page.errors, f"sweep without results: the console says {page.errors}")


def check_refusals(folder):
    wrong = folder / "wrong.json"
    for text, said in (("{", "is not JSON"), ('{"a": 1}', "is no result")):
        wrong.write_text(text)
        done = tandem("report", wrong, "-o", folder / "wrong.html", code=2)
        expect(said in done.stderr, done.stderr)
    other = folder / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE things (a)")
    expect("no sweep database" in tandem("report", other, "-o", folder / "wrong.html", code=2).stderr,
           "another database")
    expect(not (folder / "wrong.html").exists(), "half a page was written")


def main():
    program = chromium.find_chromium()
    if not program:
        print("[  SKIPPED ] Report.InChromium: no chromium on PATH")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name, chromium.Page(program, 1280, 900) as page:
        folder = pathlib.Path(name)
        check_run(page, folder)
        check_capacity(page, folder)
        check_map(page, folder)
        check_sweep(page, folder)
        check_sweep_without_results(page, folder)
        check_refusals(folder)
    print("pages of a run, a capacity search and a sweep show what is in them")


if __name__ == "__main__":
    main()
