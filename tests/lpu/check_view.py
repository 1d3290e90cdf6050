#!/usr/bin/python3
"""The page of `tandem lpu view` in headless Chromium against `tandem lpu list` and `tandem lpu run`.

Usage: check_view.py TANDEM. Exit code 77 and a line that says so where there is no Chromium.
"""

import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import chromium  # noqa: E402

# A read that a loop repeats, an ALU and a write; operators have names. Released in cycle 35:
# reads in 39, 41, 43 and, 20 cycles later, 59, 61, 63 (rows 7, 9, 11 and 107, 109, 111). MEM_W2
# lies 2 hops west of the VXM, so the ALU works 2 + 2 cycles after each read.
SMALL = """chip lpu_v1
operator load
operator gate and up
queue MEM_W2
  notify
  sync
  nop 4
 of 0
  mem read 0:7 E0
  repeat 2 interval 2 stride 2
  loop 1 width 3 interval 20 stride 100
queue VXM1
  sync
  nop 8
 of 1
  alu convert:int8 float32 E0 -> E4
  repeat 2 interval 2
  loop 1 width 3 interval 20
"""


class Failure(Exception):
    """What does not hold, as text."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def tandem(*arguments):
    return subprocess.run([sys.argv[1], *map(str, arguments)], check=True, capture_output=True,
                          text=True, timeout=120).stdout


def listed_words(listing):
    """(queue, text, cycles after release) of every word that issues, as the listing shows them."""
    queue = None
    for line in listing.splitlines():
        if line.startswith("queue "):
            queue = line.split()[1]
        word = re.fullmatch(r"  (\S.*?) +; \+(\d+)", line)
        if word and word[1] not in ("sync", "notify"):
            yield queue, word[1], int(word[2])


def point_at(page, queue, cycle):
    """Moves the pointer to a cycle of a queue, seen closely; what the page says of it."""
    x, y = page.run(f"""(() => {{
      const s = window.schedule;
      s.show({cycle} - 20, {cycle} + 30);
      const row = s.layout.rows.find((r) => r.queue.name === "{queue}");
      const scroller = document.getElementById("scroller");
      scroller.scrollTop = row.y - 150;
      const box = document.getElementById("timeline").getBoundingClientRect();
      return [box.left + s.toX({cycle} + 0.5), box.top + row.y + s.view.row / 2];
    }})()""")
    page.settle()
    page.mouse("Moved", x, y)
    return page.run("""Object.fromEntries([...document.querySelectorAll("#detail [id^=detail-]")]
      .map((e) => [e.id.slice(7), e.textContent]))""")


def check_numbers(page, listing, run):
    shown = page.run("({...document.documentElement.dataset})")
    cycles = re.search(r"^cycles (\d+)", run, re.MULTILINE)[1]
    expect(shown["cycles"] == cycles, f"{shown['cycles']} cycles shown, {cycles} in a run")
    used = len(re.findall(r"^queue ", listing, re.MULTILINE))
    expect(int(shown["used"]) == used, f"{shown['used']} queues in use shown, {used} listed")
    rows = page.run("window.schedule.layout.rows.length")
    expect(rows == page.run("window.schedule.queues.filter((q) => q.n).length"),
           f"{rows} rows drawn")
    words = len(re.findall(r"^  \S.* ; ", listing, re.MULTILINE))
    expect(int(shown["words"]) == words, f"{shown['words']} words shown, {words} listed")


def check_instructions(page, listing, count):
    words = list(listed_words(listing))
    for queue, text, cycle in random.Random(5).sample(words, min(count, len(words))):
        said = point_at(page, queue, cycle + 35)
        expect(said.get("text") == text, f"{queue} in +{cycle}: '{text}' listed, shown {said}")
        expect(said["cycle"] == f"{cycle + 35:,}, +{cycle:,} after release", f"{queue}: {said}")


def check_zoom(page):
    page.key("0")
    whole = page.run("[window.schedule.view.from, window.schedule.view.to]")
    x, y = page.run("""(() => { const b = document.getElementById("timeline").getBoundingClientRect();
      return [b.left + 400, b.top + 60]; })()""")
    under = f"window.schedule.view.from + (400 - window.schedule.view.label) / "\
            "(window.schedule.view.width - window.schedule.view.label) * "\
            "(window.schedule.view.to - window.schedule.view.from)"
    before = page.run(under)
    for _ in range(4):
        page.mouse("Wheel", x, y, deltaX=0, deltaY=-200)
    near = page.run("[window.schedule.view.from, window.schedule.view.to]")
    expect(near[1] - near[0] < 0.4 * (whole[1] - whole[0]), f"wheel: {whole} became {near}")
    expect(abs(page.run(under) - before) < 1, "the cycle under the pointer moved while zooming")
    page.mouse("Pressed", x, y, button="left", buttons=1, clickCount=1)
    page.mouse("Moved", x - 100, y, button="left", buttons=1)
    page.mouse("Released", x - 100, y, button="left", clickCount=1)
    dragged = page.run("window.schedule.view.from")
    expect(dragged > near[0], f"a drag to the left showed {dragged} after {near[0]}")
    page.key("ArrowLeft")
    expect(page.run("window.schedule.view.from") < dragged, "the left arrow did not pan")
    page.key("0")
    expect(page.run("[window.schedule.view.from, window.schedule.view.to]") == whole,
           "0 did not show the whole program")


def check_picture(page):
    colours = page.run("""(() => { const c = document.getElementById("timeline");
      const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      const seen = new Set();
      for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
      return seen.size; })()""")
    expect(colours > 8, f"only {colours} colours on the timeline")


def check_small(page):
    """The hand-written program: rows of repeats and iterations, operators, where vectors go."""
    said = point_at(page, "MEM_W2", 61)
    expect(said["text"] == "mem read 0:109 E0", f"row of the second read in the loop: {said}")
    expect(said["operator"] == "load", f"operator: {said}")
    detail = page.run("document.getElementById('detail').textContent")
    expect("to VXM1 in cycle 65" in detail, f"reader of the vector: {detail}")
    said = point_at(page, "VXM1", 65)
    expect(said["operator"] == "gate and up", f"operator: {said}")
    detail = page.run("document.getElementById('detail').textContent")
    expect("from MEM_W2 in cycle 61" in detail, f"producer of the vector: {detail}")
    page.run("""(() => { const s = document.getElementById("search"); s.value = '"gate and up"';
      s.dispatchEvent(new Event("input")); })()""")
    matches = page.run("document.getElementById('matches').textContent")
    expect(matches == "6 issues", f"search: {matches}")
    page.key("n")
    expect(page.run("document.getElementById('detail-cycle').textContent").startswith("43,"),
           "the first match is in cycle 43")
    page.key("Escape")
    page.run("window.schedule.find('')")


def check_registers(page, folder, cycles):
    """With a register in place of the loops' constant, as long as with it; beyond its limit, refused."""
    source = folder / "looped.lpuasm"
    source.write_text(SMALL.replace("loop 1", "loopreg r1").replace("operator load",
                                                                   "limit r1 3\noperator load"))
    program, target = folder / "looped.lpu", folder / "page.html"
    tandem("lpu", "asm", source, "-o", program)
    tandem("lpu", "view", program, "-o", target, "--register", "r1=1")
    page.open(target)
    shown = page.run("document.documentElement.dataset.cycles")
    expect(shown == cycles, f"{shown} cycles with r1=1, {cycles} with a constant")
    refused = subprocess.run([sys.argv[1], "lpu", "view", program, "-o", target, "--register", "r1=4"],
                             capture_output=True, text=True, check=False, timeout=120)
    expect(refused.returncode == 2 and "--register 'r1=4'" in refused.stderr, refused.stderr)


def check_narrow(page):
    page.resize(500, 900)
    page.settle()
    width = page.run("document.documentElement.scrollWidth")
    expect(width <= 500, f"{width} pixels wide in a window of 500")


def view(page, folder, program):
    target = folder / "page.html"
    tandem("lpu", "view", program, "-o", target)
    page.open(target)
    listing, run = tandem("lpu", "list", program), tandem("lpu", "run", program)
    page.run("document.getElementById('timeline').focus()")
    check_numbers(page, listing, run)
    check_picture(page)
    return listing


def check(page, folder):
    source = folder / "small.lpuasm"
    source.write_text(SMALL)
    tandem("lpu", "asm", source, "-o", folder / "small.lpu")
    view(page, folder, folder / "small.lpu")
    check_small(page)
    check_registers(page, folder, page.run("document.documentElement.dataset.cycles"))
    tandem("lpu", "compile", "little_tales_lpu", "--set", "model=little_tales", "-o", folder / "out")
    listing = view(page, folder, folder / "out" / "stage0.lpu")
    check_instructions(page, listing, 25)
    check_zoom(page)
    check_narrow(page)
    expect(not page.errors, f"the console says {page.errors}")
    outside = [url for url in page.requests if not url.startswith("file://")]
    expect(not outside, f"the page asks for {outside}")


def main():
    program = chromium.find_chromium()
    if not program:
        print("[  SKIPPED ] LpuView.InChromium: no chromium on PATH")
        return 77
    with tempfile.TemporaryDirectory() as name, chromium.Page(program) as page:
        try:
            check(page, pathlib.Path(name))
        except Failure as failure:
            print(failure)
            return 1
    print("the page agrees with list and run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
