"""Tandem from Python: run scenarios of GPU and LPU inference racks and look at the results.

    import tandem
    result = tandem.run("llama8b_gpu", set={"traffic.concurrency": 16})
    result.summary["output_tokens_per_s"]

Every function takes a scenario as a name, as a path to a YAML file or as a dictionary with the keys
of a scenario file. Wrong input raises `tandem.ConfigError`; its `diagnostics` lists every complaint.
"""

from tandem._core import ConfigError, ModelError
from tandem._api import Capacity, Generation, Result, capacity, generate, run, sweep

__all__ = ["Capacity", "ConfigError", "Generation", "ModelError", "Result", "capacity", "generate",
           "run", "sweep"]
