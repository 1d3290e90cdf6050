#!/usr/bin/python3
"""Chrome traces of `tandem lpu run` and `tandem run` on LPUs, as Perfetto reads them.

Usage: check_timeline.py TANDEM.
"""

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
    """{(process, track): spans}; fails where Perfetto would put spans in the wrong place."""
    chips = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    names = {key: (chips[key[0]], name) for key, name in names.items()}
    assert len(set(names.values())) == len(names), "two tracks of one name"
    tracks = {name: [] for name in names.values()}
    for event in events:
        if event["ph"] == "X":
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
    tracks = {name: spans for (_, name), spans in tracks_of(trace_of(tandem, program, folder)).items()}
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
    tracks = {name for _, name in tracks_of(trace_of(tandem, program, folder))}
    assert tracks == queues, tracks ^ queues


def check_service(tandem, folder):
    """Passes overlap in a pipeline of LPUs; on one track Perfetto would drop them."""
    target = folder / "service.json"
    subprocess.run([tandem, "run", "llama8b_hybrid", "--timeline", target, "--set",
                    "traffic.requests=4", "--set", "traffic.concurrency=4", "--set",
                    "traffic.output_tokens=8"], check=True, capture_output=True, timeout=240)
    tracks = tracks_of(json.loads(target.read_text())["traceEvents"])
    passes = [spans for (process, _), spans in tracks.items() if process == "decode steps"]
    assert len(passes) > 1 and sum(map(len, passes)) == 4 * 7, [len(spans) for spans in passes]


def main():
    with tempfile.TemporaryDirectory() as name:
        check_copy(sys.argv[1], pathlib.Path(name))
        check_stage(sys.argv[1], pathlib.Path(name))
        check_service(sys.argv[1], pathlib.Path(name))
    print("traces are sound")


if __name__ == "__main__":
    main()
