"""Tandem from Python: run scenarios of GPU and LPU inference racks and look at the results.

    import tandem
    result = tandem.run("llama8b_gpu", set={"traffic.concurrency": 16})
    result.summary["output_tokens_per_s"]

Every function takes a scenario as a name, as a path to a YAML file or as a dictionary with the keys
of a scenario file. Wrong input raises `tandem.ConfigError`; its `diagnostics` lists every complaint.
`tandem.plot` draws results with matplotlib.
"""

from __future__ import annotations

import os as _os
import pathlib as _pathlib
from typing import Any as _Any

# A wheel carries hw_configs and workloads beside this file.
_data = _pathlib.Path(__file__).resolve().parent / "share"
if _data.is_dir():
    _os.environ.setdefault("TANDEM_HOME", str(_data))

from tandem._core import ConfigError, ModelError  # noqa: E402
from tandem._api import (capacity, capacity_map, describe, generate, kernels,  # noqa: E402
                         report, run, step)
from tandem._results import (Capacity, CapacityMap, Description, Generation,  # noqa: E402
                             Result, Step)
from tandem._studies import Plan, plan, sweep  # noqa: E402

__all__ = ["Capacity", "CapacityMap", "ConfigError", "Description", "Generation", "ModelError",
           "Plan", "Result", "Step", "capacity", "capacity_map", "describe", "generate", "kernels",
           "plan", "plot", "report", "run", "step", "sweep"]


def __getattr__(name: str) -> _Any:
    # matplotlib takes most of a second to import: only who draws waits for it.
    if name == "plot":
        import importlib

        return importlib.import_module("tandem.plot")
    raise AttributeError(f"module 'tandem' has no attribute '{name}'")
