import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def little_tales():
    """Checkpoint and tokenizer of the bundled model."""
    folder = ROOT / "workloads" / "checkpoints" / "little_tales"
    return {"checkpoint": folder / "model.bin", "tokenizer": folder / "tokenizer.bin"}


@pytest.fixture(autouse=True)
def spawned_workers_find_the_package(monkeypatch):
    """Worker processes import tandem by PYTHONPATH, as this process did."""
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
