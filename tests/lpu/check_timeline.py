#!/usr/bin/python3
"""The Chrome trace of `tandem lpu run --timeline`, as Perfetto reads it. Usage: check_timeline.py TANDEM."""

import json
import pathlib
import subprocess
import sys
import tempfile

# A copy: the read issues when the barrier of 35 cycles lets the queues go on, the write 2 + 9
# cycles later; a cycle of 900 MHz is 1/900 us.
COPY = """chip lpu_v1
queue MEM_W10
  notify
  sync
  mem read 0:5 E0
  repeat 1 interval 4
queue MEM_E4
  sync
  nop 11
  mem write 1:7 E0
  repeat 1 interval 4
"""
CYCLE_US = 1 / 900


def trace_of(tandem, program, folder):
    target = folder / "trace.json"
    subprocess.run([tandem, "lpu", "run", program, "--timeline", target], check=True,
                   stdout=subprocess.DEVNULL, timeout=120)
    return json.loads(target.read_text())["traceEvents"]


def tracks_of(events):
    """{track name: spans}; fails where Perfetto would put spans in the wrong place."""
    chips = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert len(set(names.values())) == len(names), "two tracks of one name"
    tracks = {name: [] for name in names.values()}
    for event in events:
        if event["ph"] == "X":
            assert event["pid"] in chips, f"no process for {event}"
            tracks[names[event["pid"], event["tid"]]].append(event)
    for name, spans in tracks.items():
        for span in spans:
            assert span["name"] and span["dur"] > 0, span
        for before, after in zip(spans, spans[1:]):
            assert before["ts"] + before["dur"] <= after["ts"] + 1e-9, f"{name}: {before} {after}"
    return tracks


def check_copy(tandem, folder):
    (folder / "copy.lpuasm").write_text(COPY)
    program = folder / "copy.lpu"
    subprocess.run([tandem, "lpu", "asm", folder / "copy.lpuasm", "-o", program], check=True)
    tracks = tracks_of(trace_of(tandem, program, folder))
    starts = {name: [round(s["ts"] / CYCLE_US, 2) for s in spans] for name, spans in tracks.items()}
    assert starts == {"MEM_W10": [0, 35, 39], "MEM_E4": [46, 50]}, starts
    assert [s["name"] for s in tracks["MEM_W10"]] == ["notify", "mem", "mem"]


def check_stage(tandem, folder):
    subprocess.run([tandem, "lpu", "compile", "little_tales_lpu", "--set", "model=little_tales", "-o",
                    folder], check=True, stdout=subprocess.DEVNULL, timeout=120)
    program = folder / "stage0.lpu"
    listing = subprocess.run([tandem, "lpu", "list", program], check=True, capture_output=True,
                             text=True, timeout=120).stdout
    queues = {line.split()[1] for line in listing.splitlines() if line.startswith("queue ")}
    tracks = tracks_of(trace_of(tandem, program, folder))
    assert set(tracks) == queues, set(tracks) ^ queues


def main():
    with tempfile.TemporaryDirectory() as name:
        check_copy(sys.argv[1], pathlib.Path(name))
        check_stage(sys.argv[1], pathlib.Path(name))
    print("traces are sound")


if __name__ == "__main__":
    main()
