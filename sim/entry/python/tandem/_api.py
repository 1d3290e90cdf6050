"""The functions of the package; the work is done in `tandem._core`, without Python's global lock.

Functions may be called from several threads; simulations take turns there, because SystemC allows
one per process. Use processes (spawned, not forked) for work side by side.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from tandem import _core
from tandem._results import Capacity, CapacityMap, Description, Generation, Result, Step
from tandem._values import Changes, overrides, text_of

if TYPE_CHECKING:
    import pandas

Scenario = Union[str, "os.PathLike[str]", Mapping[str, Any]]


class _ScenarioFile:
    """A scenario as a path the loader can read: names and paths as they are, a dictionary as a
    temporary file (JSON is YAML)."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._path: str | None = None

    def __enter__(self) -> str:
        if not isinstance(self._scenario, Mapping):
            return os.fspath(self._scenario)
        handle, self._path = tempfile.mkstemp(suffix=".yaml", prefix="tandem-scenario-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text_of({"kind": "scenario", **self._scenario}, indent=1))
        return self._path

    def __exit__(self, *_: object) -> None:
        if self._path:
            os.unlink(self._path)


def run(scenario: Scenario, *, set: Changes | None = None, fidelity: str = "cycle",
        exact: bool = False, seed: int | None = None, store: str | os.PathLike[str] = "none",
        timeline: bool = False) -> Result:
    """Simulates a scenario and returns its `Result`, equal to `tandem run --json`.

    scenario: name, path of a YAML file, or a dictionary with the keys of one.
    set: {"path": value} changes, values with units as text ("4 TB/s").
    fidelity: "cycle", or "analytical" for the floor.
    exact: simulate every distinct step instead of interpolating between anchors.
    seed: in place of the scenario's.
    store: folder of reusable step results, or "none".
    timeline: record a Chrome trace; of long runs it is large.

    Raises ConfigError for wrong input and ModelError for what no model covers.
    """
    with _ScenarioFile(scenario) as path:
        return Result(*_core.run(path, overrides(set), fidelity, exact, seed, os.fspath(store),
                                 timeline))


def step(scenario: Scenario, *, pool: str = "decode", requests: int, new_tokens: int = 1,
         cached: int = 1024, set: Changes | None = None,
         store: str | os.PathLike[str] = "none") -> Step:
    """Simulates one pass of a pool by itself and returns its `Step`.

    pool: "prefill" or "decode"; one pool may be both.
    requests: of the pass; new_tokens: computed for each; cached: tokens of each whose KV is there.
    """
    with _ScenarioFile(scenario) as path:
        return Step(_core.step(path, overrides(set), pool, requests, new_tokens, cached,
                               os.fspath(store)))


def generate(scenario: Scenario, *, checkpoint: str | os.PathLike[str],
             tokenizer: str | os.PathLike[str], prompt: str = "", tokens: int = 256,
             temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, seed: int = 1,
             set: Changes | None = None) -> Generation:
    """Runs a small model for real on the scenario's chips and returns a `Generation`.

    tokens counts positions, prompt included; temperature 0 is greedy. Sampled tokens are of the
    top_k most probable (0: all), and of these of the most probable that together reach top_p.
    """
    with _ScenarioFile(scenario) as path:
        return Generation(_core.generate(path, overrides(set), os.fspath(checkpoint),
                                         os.fspath(tokenizer), prompt, tokens, temperature, top_k,
                                         top_p, seed))


def capacity(*scenarios: Scenario, set: Changes | None = None, curve: bool = False,
             store: str | os.PathLike[str] = "none") -> Capacity:
    """The highest load at which each scenario meets its SLO, side by side.

    curve: throughput against interactivity over the load as well.
    """
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(_ScenarioFile(scenario)) for scenario in scenarios]
        text = _core.capacity(paths, overrides(set), curve, os.fspath(store))
    return Capacity(text)


def capacity_map(*scenarios: Scenario, contexts: Sequence[int] = (), users: Sequence[int] = (),
                 set: Changes | None = None,
                 store: str | os.PathLike[str] = "none") -> CapacityMap:
    """Which users fit at which context, and their tokens per second; `tandem capacity --map`.

    contexts: tokens of a request, prompt and answer; none: 1,024 to the model's longest, by fours.
    users: who decode side by side; none: 1 to 1,024, by fours.

    No load runs: every cell is one pass of decoding. Raises ConfigError for wrong input.
    """
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(_ScenarioFile(scenario)) for scenario in scenarios]
        text = _core.capacity_map(paths, overrides(set), list(contexts), list(users),
                                  os.fspath(store))
    return CapacityMap(text)


def _csv_text(rows: Any) -> str:
    """Rows as CSV text: a DataFrame, a dictionary of columns, or dictionaries."""
    if hasattr(rows, "to_csv"):
        return str(rows.to_csv(index=False))
    if isinstance(rows, Mapping):
        columns = {name: list(values) for name, values in rows.items()}
        rows = [dict(zip(columns, values)) for values in zip(*columns.values(), strict=True)]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def kernels(chip: str, op: str, rows: Any, *, software: str = "generic", fidelity: str = "cycle",
            set: Changes | None = None, sustained: bool = False) -> pandas.DataFrame:
    """Predicts the time of single kernels: the rows with predicted_ms, bound_ms and predicted_w.

    chip, op: names as `tandem list chips` and `tandem list operators` have them.
    rows: a pandas DataFrame, {"m": [...], ...}, or [{"m": 1, ...}, ...]; columns as in the manual.
    set: changes of the chip, or "software.KEY" of the software layer.
    sustained: at the clock that the power limit leaves in a long run.
    """
    import pandas

    text, _ = _core.kernels(chip, op, _csv_text(rows), software, fidelity, overrides(set),
                            sustained)
    return pandas.read_csv(io.StringIO(text))


def describe(name: str | os.PathLike[str], *, batch: int = 1, context: int | None = None,
             prompt: int | None = None) -> Description:
    """Resolved values of a chip, link, system, model, scenario, price book or software layer.

    batch, context, prompt: of a model's passes, whose operators are listed.
    """
    return Description(*_core.describe(os.fspath(name), batch, context, prompt))


def report(what: Result | Capacity | str | os.PathLike[str],
           path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes one HTML page that works offline, and returns its path.

    what: a Result, a Capacity, the JSON file of either, or the database of a sweep.
    """
    if isinstance(what, (Result, Capacity)):
        page = _core.report_of_json(what.text)
    else:
        page = _core.report_of_file(os.fspath(what))
    target = pathlib.Path(path)
    target.write_text(page, encoding="utf-8")
    return target
