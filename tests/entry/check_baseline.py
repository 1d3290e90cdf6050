#!/usr/bin/python3
"""`tandem check` sees a 1 % change planted in a description and names the part that has it.

Usage: check_baseline.py TANDEM. Works on copies of hw_configs and workloads.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASELINE = """kind: baseline
entries:
  - name: one
    scenario: llama8b_gpu
    set: {traffic.requests: 6, traffic.concurrency: 2, traffic.output_tokens: 6}
    expect:
      output_tokens_per_s: {value: 1, tolerance: 0.1 %}
      tpot_ms.p99: {value: 1, tolerance: 0.1 %}
  - name: two
    scenario: llama8b_gpu_pd
    set: {traffic.requests: 6, traffic.concurrency: 2, traffic.output_tokens: 6}
    expect:
      e2e_ms.mean: {value: 1, tolerance: 0.01 %}
"""


def expect(condition, message):
    if not condition:
        raise SystemExit(f"check_baseline: {message}")


class House:
    """A folder with descriptions that may be changed."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "hw_configs", folder / "hw_configs")
        shutil.copytree(ROOT / "workloads", folder / "workloads",
                        ignore=shutil.ignore_patterns("checkpoints"))
        self.baseline = folder / "baseline.yaml"
        self.baseline.write_text(BASELINE)

    def check(self, *arguments, code=0):
        done = subprocess.run([sys.argv[1], "check", str(self.baseline), *arguments],
                              capture_output=True, text=True, timeout=200, check=False,
                              env={**os.environ, "TANDEM_HOME": str(self.folder)})
        expect(done.returncode == code,
               f"{arguments} gave {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def plant(self, file, before, after):
        path = self.folder / file
        text = path.read_text()
        expect(text.count(before) == 1, f"{file} has '{before}' {text.count(before)} times")
        path.write_text(text.replace(before, after))
        return lambda: path.write_text(text)


def check_bandwidth(house):
    mend = house.plant("hw_configs/chips/h100_sxm.yaml", "3.35 TB/s", "3.3165 TB/s")
    junit = house.folder / "junit.xml"
    said = house.check("--junit", str(junit), code=1)
    expect("chips/h100_sxm: hbm_bandwidth 3.35e+12 -> 3.3165e+12 (-1 %)" in said, said)
    expect(re.search(r"times of kernels: .*gpu\.gate_up_projection \+\d", said), said)
    expect("models/" not in said and "prices/" not in said, said)
    suites = xml.etree.ElementTree.parse(junit).getroot()
    failures = suites.findall("testsuite/testcase/failure")
    expect(suites.get("tests") == "3" and int(suites.get("failures")) == len(failures) >= 2,
           junit.read_text())
    expect(all("hbm_bandwidth" in failure.text for failure in failures), junit.read_text())
    mend()
    house.check()


def check_both(house):
    """Hardware and a scenario that changed together are both named; other entries' are not."""
    chip = house.plant("hw_configs/chips/h100_sxm.yaml", "3.35 TB/s", "3.3165 TB/s")
    scenario = house.plant("workloads/scenarios/llama8b_gpu_pd.yaml", "system: dgx_h100\n",
                           "system: dgx_h100\ntraffic: {prompt_tokens: 1000}\n")
    said = house.check(code=1)
    one, two = said.split("two e2e_ms.mean")
    expect("chips/h100_sxm: hbm" in one and "scenario: " not in one, said)
    expect("chips/h100_sxm: hbm" in two and "scenario: placement" in two, said)
    scenario()
    chip()


def check_refused(house):
    """An entry that cannot run is a failure in the XML and an error; the others run."""
    mend = house.plant("workloads/scenarios/llama8b_gpu_pd.yaml", "system: dgx_h100\n",
                       "system: dgx_h100\ntraffic: {prompt_tokens: lots}\n")
    chip = house.plant("hw_configs/chips/h100_sxm.yaml", "3.35 TB/s", "3.3165 TB/s")
    junit, text = house.folder / "junit.xml", house.baseline.read_text()
    said = house.check("--junit", str(junit), code=2)
    expect(re.search(r"llama8b_gpu_pd.yaml:\d+:\d+: error: .*'lots'", said), said)
    expect("REFUSED two\n" in said and "MOVED one tpot_ms" in said and "1 entries refused" in said,
           said)
    suites = xml.etree.ElementTree.parse(junit).getroot()
    expect((suites.get("tests"), suites.get("failures")) == ("3", "3"), junit.read_text())
    expect("'lots'" in suites.find("testsuite[@name='two']/testcase/failure").text,
           junit.read_text())
    house.check("--update", "--reason", "no", code=2)
    expect(house.baseline.read_text() == text, "an update without all entries")
    chip()
    mend()


def check_link(house, link):
    path = house.folder / "hw_configs" / "links" / f"{link}.yaml"
    value = re.search(r"bandwidth: \{value: ([\d.]+) ", path.read_text())[1]
    mend = house.plant(path, f"bandwidth: {{value: {value} ",
                       f"bandwidth: {{value: {float(value) * 0.5:g} ")
    said = house.check(code=1)
    expect(re.search(rf"MOVED two e2e_ms.mean.*\n *what moved:\n *links/{link}: bandwidth", said), said)
    expect("MOVED one" not in said, said)
    mend()


def check_history(house):
    mend = house.plant("hw_configs/chips/h100_sxm.yaml", "3.35 TB/s", "3.3165 TB/s")
    expect("needs --reason" in house.check("--update", code=2), "an update without a reason")
    house.check("--update", "--reason", 'a "new" sheet: 1 % less')
    house.check()
    text = house.baseline.read_text()
    expect(r'- reason: "a \"new\" sheet: 1 % less"' in text, text)
    expect(re.search(r'moved:\n +- "one output_tokens_per_s: [\d.]+ -> [\d.]+"', text), text)
    mend()
    expect("hbm_bandwidth 3.3165e+12 -> 3.35e+12" in house.check(code=1), "the way back")
    house.check("--update", "--reason", "back again")
    expect(house.baseline.read_text().count("- reason: ") == 3, house.baseline.read_text())


def main():
    with tempfile.TemporaryDirectory() as name:
        house = House(pathlib.Path(name))
        expect("unknown: the baseline has no parts" in house.check(code=1), "a baseline of figures")
        house.check("--update", "--reason", "first figures")
        said = house.check()
        expect("what moved" not in said and "3 figures, 0 moved" in said, said)
        check_bandwidth(house)
        check_both(house)
        check_refused(house)
        check_link(house, "nvlink4")
        check_history(house)
    print("1 % of a chip and half of a link are seen and named")


if __name__ == "__main__":
    main()
