"""What the functions of the package return: JSON objects with their main parts as properties."""

from __future__ import annotations

import html
import json
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    import numpy
    import numpy.typing
    import pandas

# Fields of `sim/entry/api.hpp`, RequestRow, in its order.
REQUEST_FIELDS = [("id", "i8"), ("arrival_s", "f8"), ("prompt", "i8"), ("output", "i8"),
                  ("ttft_ms", "f8"), ("tpot_ms", "f8"), ("e2e_ms", "f8"), ("cached_tokens", "i8"),
                  ("preemptions", "i8"), ("deployment", "i8")]


def short(value: Any) -> str:
    """A value as people read it: six significant digits."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {short(item)}" for key, item in value.items())
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


def band_text(band: Any) -> str:
    """[low, high] as text; empty for a figure without a band."""
    return f"{short(band[0])} to {short(band[1])}" if isinstance(band, list) else ""


def html_table(caption: str, rows: list[list[str]], heads: list[str]) -> str:
    """A table for notebooks; the texts may hold anything."""
    def line(tag: str, cells: list[str]) -> str:
        inside = "".join(f'<{tag} style="text-align:left">{html.escape(cell)}</{tag}>'
                         for cell in cells)
        return f"<tr>{inside}</tr>"

    body = "".join(line("td", row) for row in rows)
    return (f"<table><caption>{html.escape(caption)}</caption>"
            f"<thead>{line('th', heads)}</thead><tbody>{body}</tbody></table>")


class Result:
    """What `tandem.run` found.

    data: the whole result, as `tandem run --json` writes it.
    text: the same as that file's text.
    """

    def __init__(self, text: str, rows: bytes, timeline: str) -> None:
        self.text = text
        self.data: dict[str, Any] = json.loads(text)
        self._rows = rows
        self._timeline = timeline

    @property
    def summary(self) -> dict[str, Any]:
        """Throughput, latency, energy and cost, with units in the names of the keys."""
        summary: dict[str, Any] = self.data["summary"]
        return summary

    @property
    def bands(self) -> dict[str, Any]:
        """[low, high] for the keys of the summary that have one."""
        bands: dict[str, Any] = self.data["bands"]
        return bands

    @property
    def pools(self) -> dict[str, Any]:
        """Per pool its chips, utilisation, bottleneck and the time shares of its passes."""
        pools: dict[str, Any] = self.data["pools"]
        return pools

    @property
    def requests(self) -> numpy.typing.NDArray[Any]:
        """One row per request: a read-only NumPy structured array, which is not copied.

        Fields: id, arrival_s, prompt and output (tokens), ttft_ms, tpot_ms (0 where one token was
        made), e2e_ms, cached_tokens, preemptions, deployment (index in data["deployments"]).
        """
        import numpy

        return numpy.frombuffer(self._rows, dtype=REQUEST_FIELDS)

    def frame(self) -> pandas.DataFrame:
        """The requests as a pandas DataFrame indexed by id, a column per field."""
        import pandas

        rows = self.requests
        columns = {name: rows[name] for name, _ in REQUEST_FIELDS[1:]}
        names = [own["name"] for own in self.data.get("deployments") or []]
        if names:
            columns["deployment"] = pandas.Categorical.from_codes(rows["deployment"], names)
        else:
            del columns["deployment"]
        return pandas.DataFrame(columns, index=pandas.Index(rows["id"], name="id"), copy=False)

    @property
    def timeline(self) -> list[dict[str, Any]]:
        """The run as Chrome trace events; needs `run(..., timeline=True)`."""
        events: list[dict[str, Any]] = json.loads(self._recorded())["traceEvents"]
        return events

    def save_timeline(self, path: str | os.PathLike[str]) -> None:
        """Writes the trace for Perfetto or chrome://tracing; needs `run(..., timeline=True)`."""
        pathlib.Path(path).write_text(self._recorded(), encoding="utf-8")

    def _recorded(self) -> str:
        if not self._timeline:
            raise ValueError("no timeline was recorded; call tandem.run(..., timeline=True)")
        return self._timeline

    def _repr_html_(self) -> str:
        rows = [[key, short(value), "" if isinstance(value, dict) else
                 band_text(self.bands.get(key))] for key, value in self.summary.items()]
        return html_table(self.data["scenario"], rows, ["figure", "value", "band"])

    def __repr__(self) -> str:
        lines = [f"{key:34} {short(value)}" for key, value in self.summary.items()]
        return "\n".join([f"tandem.Result of {self.data['scenario']}", *lines])


class _Keys:
    """A JSON object whose keys are attributes too."""

    def __init__(self, text: str) -> None:
        self.data: dict[str, Any] = json.loads(text)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None


class Generation(_Keys):
    """What `tandem.generate` wrote: `text`, `tokens`, `timing`, `transfers`, `chips`, `checks`."""

    def _repr_html_(self) -> str:
        return f"<blockquote>{html.escape(self.data['text'])}</blockquote>"

    def __repr__(self) -> str:
        return f"tandem.Generation({self.data['text']!r})"


class Capacity:
    """What `tandem.capacity` found: the highest load within the SLO of each scenario."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.data: dict[str, Any] = json.loads(text)

    @property
    def systems(self) -> list[dict[str, Any]]:
        """The compared systems in the order given: load, load_unit, limit, curve, result."""
        systems: list[dict[str, Any]] = self.data["systems"]
        return systems

    def frame(self) -> pandas.DataFrame:
        """One row per point of the curves (`capacity(..., curve=True)`), else per system."""
        import pandas

        rows = []
        for system in self.systems:
            points = system["curve"] or [{"load": system["load"], **system["result"]["summary"]}]
            rows += [{"scenario": system["scenario"], **flat(point)} for point in points]
        return pandas.DataFrame(rows)

    def _lines(self) -> list[list[str]]:
        keys = ["output_tokens_per_s", "output_tokens_per_s_per_user", "energy_j_per_output_token",
                "usd_per_m_output_tokens"]
        return [[system["scenario"], f"{short(system['load'])} {system['load_unit']}",
                 str(system["limit"]), *(short(system["result"]["summary"].get(key))
                                         for key in keys)] for system in self.systems]

    def _repr_html_(self) -> str:
        return html_table("highest load within the SLO", self._lines(),
                          ["scenario", "load", "limited by", "output tokens/s", "per user",
                           "J per output token", "USD per M output tokens"])

    def __repr__(self) -> str:
        return "\n".join(["tandem.Capacity", *("  ".join(line) for line in self._lines())])


class CapacityMap:
    """What `tandem.capacity_map` found: users by context, for each scenario."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.data: dict[str, Any] = json.loads(text)

    @property
    def systems(self) -> list[dict[str, Any]]:
        """The scenarios in the order given; each is what `tandem.plot.users_context` draws.

        Keys: scenario, rows of context_tokens, most_users, limit, problem and cells.
        """
        systems: list[dict[str, Any]] = self.data["systems"]
        return systems

    def frame(self) -> pandas.DataFrame:
        """One row per scenario, context and number of users.

        Columns: scenario, context_tokens, most_users (that fit), limit, users, fits, bound,
        tpot_ms, output_tokens_per_s_per_user, output_tokens_per_s. Cells that do not fit have no
        figures.
        """
        import pandas

        return pandas.DataFrame(
            [{"scenario": system["scenario"], "context_tokens": row["context_tokens"],
              "most_users": row["most_users"], "limit": row["limit"], **cell}
             for system in self.systems for row in system["rows"] for cell in row["cells"]])

    def _lines(self) -> list[list[str]]:
        return [[system["scenario"], str(row["context_tokens"]), str(row["most_users"]),
                 str(row["limit"])] for system in self.systems for row in system["rows"]]

    def _repr_html_(self) -> str:
        return html_table("users that fit", self._lines(),
                          ["scenario", "context, tokens", "users that fit", "limited by"])

    def __repr__(self) -> str:
        return "\n".join(["tandem.CapacityMap", *("  ".join(line) for line in self._lines())])


class Step(_Keys):
    """What `tandem.step` found: one pass of a pool; every key is an attribute too."""

    def _repr_html_(self) -> str:
        rows = [[key, short(value)] for key, value in self.data.items() if key != "run"]
        return html_table(f"one pass of {self.data['pool']}", rows, ["figure", "value"])

    def __repr__(self) -> str:
        return f"tandem.Step({short({k: v for k, v in self.data.items() if k != 'run'})})"


class Description:
    """What `tandem.describe` knows of a name.

    text: the page that `tandem describe` prints.
    data: its kind and name; of chips, links, prices and software `parameters`, in base units (B,
    B/s, FLOP/s, Hz, s, W, J, USD); of models `operators` of a prefill and a decode pass.
    """

    def __init__(self, text: str, data: str) -> None:
        self.text = text
        self.data: dict[str, Any] = json.loads(data)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """{key: {value, dimension, basis, source, low, high}}; empty for other kinds."""
        found: dict[str, dict[str, Any]] = self.data.get("parameters", {})
        return found

    @property
    def operators(self) -> dict[str, list[dict[str, Any]]]:
        """{"prefill": [...], "decode": [...]} of a model: operations and bytes per role."""
        found: dict[str, list[dict[str, Any]]] = self.data.get("operators", {})
        return found

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"

    def __repr__(self) -> str:
        return self.text


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one: {"a": {"b": 1}} is {"a_b": 1}."""
    out: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            out.update(flat(item, f"{prefix}{key}_"))
        else:
            out[prefix + key] = item
    return out
