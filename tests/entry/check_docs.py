#!/usr/bin/python3
"""Commands that the documentation shows exist with the options it gives them; completion completes;
scripts/artifact.sh names the maker of every made page; the site builds.

Usage: check_docs.py TANDEM. A line says so where there is no mkdocs.
"""

import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")),
         *sorted((ROOT / "docs" / "examples").glob("*.md"))]
BLOCK = re.compile(r"^```\w*(?: \S+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def expect(condition, message):
    if not condition:
        raise SystemExit(f"check_docs: {message}")


def commands_of(page):
    """Shell lines that start with `tandem`, continued lines joined, comments and prompts left out."""
    for block in BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            text = line.removeprefix("$ ")
            if re.match(r"tandem [a-z]", text):
                yield shlex.split(text, comments=True)


def help_of(path, cache={}):
    if path not in cache:
        done = subprocess.run([sys.argv[1], *path, "--help"], capture_output=True, text=True,
                              check=False, timeout=60)
        cache[path] = done.stdout if done.returncode == 0 else ""
    return cache[path]


def check_commands():
    seen = 0
    for page in PAGES:
        for _, *words in commands_of(page):
            path = (words[0], words[1]) if words[0] == "lpu" else (words[0],)
            path = tuple(re.split(r"[|]", word)[0] for word in path)
            text = help_of(path)
            expect(text, f"{page.name}: no command 'tandem {' '.join(path)}'")
            for word in words[len(path):]:
                option = re.match(r"\[?(--[a-z][a-z-]*)", word)
                if option:
                    expect(re.search(rf"{option[1]}\b", text),
                           f"{page.name}: 'tandem {' '.join(path)}' has no {option[1]}")
                    seen += 1
    expect(seen > 40, f"only {seen} options seen")


def complete(*words):
    """What bash offers for the last word."""
    script = (f"source <({sys.argv[1]} completion bash)\n"
              f"COMP_WORDS=({sys.argv[1]} {' '.join(map(shlex.quote, words))})\n"
              f"COMP_CWORD={len(words)}\n_tandem\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"")
    with tempfile.TemporaryDirectory() as empty:
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True,
                              timeout=60, cwd=empty).stdout.split()


def check_completion():
    expect(complete("rep") == ["report"], f"rep: {complete('rep')}")
    expect(complete("run", "--fid") == ["--fidelity"], "options")
    expect(complete("run", "--fidelity", "c") == ["cycle"], "values of --fidelity")
    expect("llama8b_gpu_pd" in complete("run", "llama8b_g"), "scenarios")
    expect(complete("lpu", "ver") == ["verify"], "commands of commands")
    expect("h100_sxm" in complete("kernels", "--chip", "h100"), "chips")
    expect("worker" not in complete("wor"), "commands that help does not show")


def check_artifact():
    listed = subprocess.run([ROOT / "scripts" / "artifact.sh", "--list", "DATA"], check=True,
                            capture_output=True, text=True, timeout=60).stdout
    for page in PAGES:
        maker = re.search(r"^(?:Made|Written) by `(?:scripts/|tandem )?([\w.]+)", page.read_text(),
                          re.MULTILINE)
        if maker and page.parent.name == "docs":
            line = re.search(rf"^docs/{page.name}: .*$", listed, re.MULTILINE)
            expect(line and maker[1] in line[0], f"scripts/artifact.sh does not make {page.name}")
    for script in re.findall(r"scripts/\w+\.\w+", listed):
        expect((ROOT / script).exists(), f"no {script}")


def check_site():
    if importlib.util.find_spec("mkdocs") is None:
        print("[  SKIPPED ] Docs.Site: no mkdocs; scripts/install_dependencies.sh installs it")
        return
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir",
                               folder], cwd=ROOT, capture_output=True, text=True, check=False,
                              timeout=200, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        expect(done.returncode == 0, done.stderr[-2000:])
        wrong = [line for line in done.stderr.splitlines() if "nav" in line and "not found" in line]
        expect(not wrong, "\n".join(wrong))
        site = pathlib.Path(folder)
        expect("from a built program" in (site / "index.html").read_text(), "the first page")
        expect((site / "examples" / "tutorial.html").exists(), "the tutorial")
        expect("Changelog" in (site / "project" / "changelog.html").read_text(), "a page from outside")
        expect((site / "examples" / "capacity_plan.html").exists(), "the capacity plan")
        expect("hbm_bandwidth" in (site / "config_reference.html").read_text(), "the reference")


def main():
    check_commands()
    check_completion()
    check_artifact()
    check_site()
    print("what the documentation shows is there")


if __name__ == "__main__":
    main()
