"""The functions and result types of the module; the work is done in `tandem._core`."""

import csv
import io
import itertools
import json
import os
import pathlib
import tempfile

import numpy

from tandem import _core


def _overrides(changes):
    """{"a.b": 3} as the (path, YAML text) pairs that the loader takes."""
    return [(path, value if isinstance(value, str) else json.dumps(value))
            for path, value in (changes or {}).items()]


class _ScenarioFile:
    """A scenario as a path the loader can read: names and paths as they are, a dictionary as a
    temporary file (JSON is YAML)."""

    def __init__(self, scenario):
        self._scenario = scenario
        self._path = None

    def __enter__(self):
        if not isinstance(self._scenario, dict):
            return os.fspath(self._scenario)
        handle, self._path = tempfile.mkstemp(suffix=".yaml", prefix="tandem-scenario-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"kind": "scenario", **self._scenario}, file, indent=1)
        return self._path

    def __exit__(self, *_):
        if self._path:
            os.unlink(self._path)


class Result:
    """What `run` found. `data` is the whole result object; the properties are its main parts."""

    def __init__(self, text, requests_csv, timeline):
        self.data = json.loads(text)
        self._requests_csv = requests_csv
        self._timeline = timeline

    @property
    def summary(self):
        """Throughput, latency, energy and cost, with units in the names of the keys."""
        return self.data["summary"]

    @property
    def bands(self):
        """[low, high] for the keys of the summary that have one."""
        return self.data["bands"]

    @property
    def requests(self):
        """One row per request, as a NumPy structured array."""
        rows = list(csv.reader(io.StringIO(self._requests_csv)))
        names, body = rows[0], rows[1:]
        whole = {"id", "prompt", "output", "cached_tokens", "preemptions"}
        types = [(name, "i8" if name in whole else "f8") for name in names]
        values = [tuple(int(cell) if name in whole else float(cell or "nan")
                        for name, cell in zip(names, row)) for row in body]
        return numpy.array(values, dtype=types)

    @property
    def timeline(self):
        """The run as Chrome trace events, a list of dictionaries."""
        return json.loads(self._timeline)["traceEvents"]

    def save_timeline(self, path):
        """Writes the trace for Perfetto or chrome://tracing."""
        pathlib.Path(path).write_text(self._timeline, encoding="utf-8")

    def _repr_html_(self):
        rows = "".join(f"<tr><td>{key}</td><td>{_short(value)}</td></tr>"
                       for key, value in self.summary.items())
        return f"<table><caption>{self.data['scenario']}</caption>{rows}</table>"

    def __repr__(self):
        lines = [f"{key:34} {_short(value)}" for key, value in self.summary.items()]
        return "\n".join([f"tandem.Result of {self.data['scenario']}", *lines])


def _short(value):
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


class Generation:
    """What `generate` wrote: `text`, `tokens`, `timing`, `transfers`, `chips`, `checks`."""

    def __init__(self, text):
        self.data = json.loads(text)

    def __getattr__(self, name):
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self):
        return f"tandem.Generation({self.data['text']!r})"


class Capacity:
    """The highest load within the SLO, one entry per scenario in `systems`."""

    def __init__(self, text):
        self.data = json.loads(text)

    @property
    def systems(self):
        """The compared systems in the order given."""
        return self.data["systems"]


def run(scenario, *, set=None, fidelity="cycle", exact=False, seed=None, store="none"):
    """Simulates a scenario and returns its `Result`.

    set: {"path": value} changes, values with units as text ("4 TB/s").
    fidelity: "cycle", or "analytical" for the floor.
    exact: simulate every distinct step instead of interpolating between anchors.
    store: folder of reusable step results, or "none".
    """
    with _ScenarioFile(scenario) as path:
        return Result(*_core.run(path, _overrides(set), fidelity, exact, seed, store))


def generate(scenario, *, checkpoint, tokenizer, prompt="", tokens=256, temperature=0.0,
             top_k=0, top_p=1.0, seed=1, set=None):
    """Runs a small model for real on the scenario's chips and returns a `Generation`.

    tokens counts positions, prompt included; temperature 0 is greedy. Sampled tokens are of the
    top_k most probable (0: all), and of these of the most probable that together reach top_p.
    """
    with _ScenarioFile(scenario) as path:
        return Generation(_core.generate(path, _overrides(set), os.fspath(checkpoint),
                                         os.fspath(tokenizer), prompt, tokens, temperature, top_k,
                                         top_p, seed))


def capacity(*scenarios, set=None, store="none"):
    """The highest load at which each scenario meets its SLO, side by side."""
    paths = [os.fspath(scenario) for scenario in scenarios]
    return Capacity(_core.capacity(paths, _overrides(set), store))


def _run_point(scenario, changes, options):
    """One point of a sweep; a function of the module so that worker processes can import it."""
    result = run(scenario, set=changes, **options)
    return {**changes, **{key: value for key, value in result.summary.items()}}


def sweep(scenario, vary, *, executor=None, **options):
    """Runs every combination of `vary` = {"path": [values]} and returns one dictionary per point.

    executor: any concurrent.futures.Executor with spawned processes; none runs here, in order.
    """
    names = list(vary)
    points = [dict(zip(names, values)) for values in itertools.product(*vary.values())]
    if executor is None:
        return [_run_point(scenario, point, options) for point in points]
    futures = [executor.submit(_run_point, scenario, point, options) for point in points]
    return [future.result() for future in futures]
