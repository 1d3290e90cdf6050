"""The Python module as a user of it sees it."""

import concurrent.futures
import json
import multiprocessing
import resource
import subprocess
import sys

import pytest

import tandem

SMALL = {"traffic.requests": 6, "traffic.concurrency": 2, "traffic.prompt_tokens": 64,
         "traffic.output_tokens": 8}
# A whole run in a sixth of a second, for tests that want many of them.
TINY = {**SMALL, "traffic.requests": 2, "traffic.concurrency": 1, "traffic.output_tokens": 2}


def test_summary_and_requests_tell_the_same_story():
    result = tandem.run("llama8b_gpu", set=SMALL)
    requests = result.requests
    assert len(requests) == 6
    assert result.summary["ttft_ms"]["mean"] == pytest.approx(requests["ttft_ms"].mean())
    assert result.summary["tpot_ms"]["mean"] == pytest.approx(requests["tpot_ms"].mean())
    assert "output_tokens_per_s" in result._repr_html_()


def test_cycle_is_never_faster_than_the_floor():
    cycle = tandem.run("llama8b_gpu", set=SMALL)
    floor = tandem.run("llama8b_gpu", set=SMALL, fidelity="analytical")
    assert cycle.summary["tpot_ms"]["mean"] >= floor.summary["tpot_ms"]["mean"]
    assert cycle.data["bounds"]["tpot_ms"] <= cycle.summary["tpot_ms"]["mean"]


def resident_kib():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def test_same_input_same_bytes_and_no_growth_of_memory_over_500_runs(tmp_path):
    def once(**options):
        data = tandem.run("llama8b_gpu", set=TINY, store=tmp_path, **options).data
        data.pop("run")
        return json.dumps(data)

    first, floor = once(), once(fidelity="analytical")
    for _ in range(25):
        assert once() == first
        assert once(fidelity="analytical") == floor
    before = resident_kib()
    for _ in range(75):
        assert once() == first
    for _ in range(373):
        assert once(fidelity="analytical") == floor
    grown = resident_kib() - before
    assert grown < 1024, f"resident memory grew by {grown} KiB over 448 of 500 runs"


INTERRUPTED = """
import os, signal, threading, time
import tandem
change = {"traffic.concurrency": 8, "traffic.prompt_tokens": 64, "traffic.output_tokens": 256}
small = {**change, "traffic.requests": 2, "traffic.concurrency": 1, "traffic.output_tokens": 2}
before = tandem.run("llama8b_gpu", set=small, fidelity="analytical").summary
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    tandem.run("llama8b_gpu", set={**change, "traffic.requests": 20000}, fidelity="analytical")
    print("ran to its end")
except KeyboardInterrupt:
    print("ended" if time.monotonic() - start < 2.5 else "too late")
assert tandem.run("llama8b_gpu", set=small, fidelity="analytical").summary == before
"""


def test_an_interrupt_ends_a_long_run_and_the_next_one_is_whole():
    told = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True,
                          check=False, timeout=60)
    assert (told.stdout, told.stderr) == ("ended\n", "")


def test_timeline_is_a_chrome_trace():
    result = tandem.run("llama8b_gpu", set=SMALL, timeline=True)
    events = result.timeline
    assert any(event["ph"] == "X" and event["dur"] > 0 for event in events)
    with pytest.raises(ValueError, match="timeline=True"):
        _ = tandem.run("llama8b_gpu", set=TINY).timeline


def test_wrong_input_lists_every_complaint():
    with pytest.raises(tandem.ConfigError) as caught:
        tandem.run("llama8b_gpu", set={"traffic.concurency": 3, "traffic.requests": -1})
    assert len(caught.value.diagnostics) == 2
    assert any("concurrency" in entry["message"] for entry in caught.value.diagnostics)


def test_a_good_run_follows_a_failed_one():
    good = tandem.run("llama8b_gpu", set=SMALL).summary
    with pytest.raises(tandem.ConfigError):
        tandem.run("no_such_scenario")
    assert tandem.run("llama8b_gpu", set=SMALL).summary == good


def test_generation_agrees_with_the_reference(little_tales):
    text = tandem.generate("little_tales_hybrid", prompt="Once there was", tokens=32,
                           **little_tales)
    assert text.text.startswith("Once there was")
    assert text.checks["reference_max_abs_error"] <= 0.05
    assert [move["what"] for move in text.transfers].count("kv") >= 1


def test_sampling_from_one_token_is_greedy_and_drafts_leave_the_text(little_tales):
    options = {"prompt": "Once there was", "tokens": 24, **little_tales}
    greedy = tandem.generate("little_tales_gpu", **options).text
    one = tandem.generate("little_tales_gpu", temperature=2.0, top_k=1, **options)
    assert one.text == greedy
    drafts = {"draft_model": "little_tales",
              "speculation": "{method: draft_model, drafts: 2}"}
    assert tandem.generate("little_tales_gpu", set=drafts, **options).text == greedy
    with pytest.raises(tandem.ConfigError):
        tandem.generate("little_tales_gpu", top_p=0.5, **options)


def test_sweep_gives_the_same_points_in_processes_as_here():
    vary = {"traffic.concurrency": [1, 2]}
    options = {"fidelity": "analytical"}
    here = tandem.sweep("llama8b_gpu", vary, **options)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        assert tandem.sweep("llama8b_gpu", vary, executor=executor, **options) == here
