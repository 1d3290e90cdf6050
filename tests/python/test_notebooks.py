"""The notebooks of the documentation run from top to bottom."""

import os
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_all_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["capacity_plan", "cost_energy", "first_steps",
                                                 "lpu_schedule", "own_chip", "prefill_decode_split"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(notebook, tmp_path):
    program = pathlib.Path(os.environ["TANDEM_PROGRAM"]).parent
    environment = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir",
         str(tmp_path), str(notebook)],
        env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
