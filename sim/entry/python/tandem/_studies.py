"""Sweeps and plans: their points run here, in the processes of an executor or on a Dask cluster."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from tandem import _core
from tandem._values import overrides, text_of

if TYPE_CHECKING:
    import concurrent.futures

Study = Union[str, "os.PathLike[str]", Mapping[str, Any]]

# Which point, its answer or None, and why there is none.
Answer = tuple[int, Union[str, None], str]

_local = threading.local()

# How often a Dask task may lose its worker before its point counts as failed.
_RETRIES = 3


def _answer(task: str) -> str:
    """Runs one point; a function of the module so that other processes can import it. Each thread
    keeps what it has read."""
    worker = getattr(_local, "worker", None)
    if worker is None:
        worker = _local.worker = _core.SweepWorker()
    answer: str = worker.answer(task)
    return answer


@contextlib.contextmanager
def _file_of(study: Study, kind: str) -> Iterator[str]:
    """A name or path as it is, a dictionary as a temporary file (JSON is YAML)."""
    if not isinstance(study, Mapping):
        yield os.fspath(study)
        return
    with tempfile.TemporaryDirectory(prefix="tandem-") as folder:
        # The same name every time: results carry it, and points go by it when a sweep goes on.
        path = os.path.join(folder, f"{kind}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text_of({"kind": kind, **study}, indent=1))
        yield path


def _is_dask(executor: Any) -> bool:
    return type(executor).__module__.partition(".")[0] == "distributed"


def _dask_answers(client: Any, tasks: Sequence[_core.SweepTask]) -> Iterator[Answer]:
    import distributed

    futures = {client.submit(_answer, task.task, pure=False, retries=_RETRIES): i
               for i, task in enumerate(tasks)}
    for future in distributed.as_completed(list(futures)):
        failure = future.exception()
        if failure is None:
            yield futures[future], future.result(), ""
        else:
            yield futures[future], None, repr(failure)


def _executor_answers(executor: concurrent.futures.Executor,
                      tasks: Sequence[_core.SweepTask]) -> Iterator[Answer]:
    import concurrent.futures

    futures = {executor.submit(_answer, task.task): i for i, task in enumerate(tasks)}
    for future in concurrent.futures.as_completed(futures):
        failure = future.exception()
        if failure is None:
            yield futures[future], future.result(), ""
        else:
            yield futures[future], None, repr(failure)


def _answers(executor: Any, tasks: Sequence[_core.SweepTask]) -> Iterable[Answer]:
    """As they arrive."""
    if executor is None:
        return ((i, _answer(task.task), "") for i, task in enumerate(tasks))
    if _is_dask(executor):
        return _dask_answers(executor, tasks)
    return _executor_answers(executor, tasks)


def _run(tasks: Sequence[_core.SweepTask], executor: Any,
         take: Callable[[_core.PointResult], None]) -> None:
    for index, answer, failure in _answers(executor, tasks):
        task = tasks[index]
        take(task.failed(failure) if answer is None else task.result(answer))


def _value(text: str) -> Any:
    """The value of a change: a number or word as Python has it."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _row(task: _core.SweepTask, result: _core.PointResult) -> dict[str, Any]:
    row = {"point": result.point,
           **{path: _value(value) for path, value in task.changes},
           "status": result.status, "error": result.error, "violated": result.violated}
    if not result.result:
        return row
    data = json.loads(result.result)
    return {**row, **data["summary"], "bands": data["bands"]}


def sweep(sweep: Study, vary: Mapping[str, Any] | None = None, *,  # pylint: disable=W0621
          executor: Any = None, db: str | os.PathLike[str] | None = None, resume: bool = False,
          force: bool = False,
          set: Mapping[str, Any] | None = None,  # pylint: disable=W0622
          fidelity: str = "cycle", store: str | os.PathLike[str] = "none") -> list[dict[str, Any]]:
    """Runs the points of a sweep and returns one dictionary per point, in their order.

    sweep: a sweep as a name, a path or a dictionary with the keys of its file; or, with `vary` =
        {"path": [values]}, a scenario of which every combination runs.
    executor: any concurrent.futures.Executor with spawned processes, or a dask.distributed.Client;
        none runs here, in order. On other machines scenarios are names, or paths that exist there.
    db: SQLite file that gets the rows as they arrive, as `tandem sweep` writes them; one that has
        points is refused, but for `resume`, which keeps the finished ones, and `force`; both
        together where `resume` would lose finished points that the sweep does not have.
    set: {"path": value} changes of every point, in place of what the sweep's own `set` says.
    store: folder of reusable step results, which processes may share, or "none".

    A row has `point`, the paths that change, `status` (ok, refused, excluded, error), `error`,
    `violated`, the result's summary and its `bands`, [low, high] under the summary's keys.
    """
    with contextlib.ExitStack() as files:
        study: Study = sweep
        if vary is not None:
            scenario = files.enter_context(_file_of(sweep, "scenario"))
            study = {"scenario": scenario, "vary": vary}
        file = files.enter_context(_file_of(study, "sweep"))
        prepared = _core.PreparedSweep(file, fidelity, os.fspath(store), overrides(set))
        results: dict[int, _core.PointResult] = {}
        database = None if db is None else _core.SweepDatabase(os.fspath(db), resume, force)

        def take(result: _core.PointResult) -> None:
            results[result.point] = result
            if database is not None:
                database.store(result)

        if database is not None:
            database.take_over(prepared.tasks, force)
            results = {result.point: result for result in database.results()}
        due = []
        for task in prepared.tasks:
            if task.point in results:
                continue
            if task.status == "due":
                due.append(task)
            else:
                take(task.result())
        _run(due, executor, take)
        rows = [_row(task, results[task.point]) for task in prepared.tasks]
    return rows


class Plan:
    """What `plan` found. `best` is the row of the answer or None, `candidates` all rows: as those of
    `sweep`, with the status "pruned" for what could not be the answer. `page` and `tornado` are
    what the command prints."""

    def __init__(self, candidates: list[dict[str, Any]], best: int | None, page: str,
                 tornado: str) -> None:
        self.candidates = candidates
        self.best = None if best is None else candidates[best]
        self.page = page
        self.tornado = tornado

    def __repr__(self) -> str:
        return self.page + self.tornado


def plan(plan: Study, *, executor: Any = None,  # pylint: disable=W0621
         fidelity: str = "cycle", store: str | os.PathLike[str] = "none") -> Plan:
    """Finds the system, placement and load that reach a plan's goal best within its limits.

    plan: a name, a path or a dictionary with the keys of a plan file.
    executor, fidelity, store: as for `sweep`.
    """
    with _file_of(plan, "plan") as file:
        search = _core.PlanSearch(file, fidelity, os.fspath(store))
        while round_ := search.next_round():
            _run(round_, executor, search.take)
        rows = [_row(task, result) for task, result in zip(search.tasks(), search.results())]
        task = search.swings_task()
        tornado = search.tornado(_answer(task)) if task else ""
        return Plan(rows, search.best(), search.page(), tornado)
