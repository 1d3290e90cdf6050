import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_runtest_logreport(report):
    """Skips as scripts/check_skips.sh looks for them: none goes unnoticed there."""
    if report.skipped:
        print(f"\n[  SKIPPED ] Python.{report.nodeid.rsplit('::', 1)[-1]}")


@pytest.fixture
def tandem_program():
    """The executable beside the package under test."""
    return os.environ["TANDEM_PROGRAM"]


@pytest.fixture
def little_tales():
    """Checkpoint and tokenizer of the bundled model."""
    folder = ROOT / "workloads" / "checkpoints" / "little_tales"
    return {"checkpoint": folder / "model.bin", "tokenizer": folder / "tokenizer.bin"}


@pytest.fixture(autouse=True)
def spawned_workers_find_the_package(monkeypatch):
    """Worker processes import tandem by PYTHONPATH, as this process did."""
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
