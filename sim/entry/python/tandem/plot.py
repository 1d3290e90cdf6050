"""Pictures of results with matplotlib. Every function draws into `ax`, or a new figure, and returns
the Axes, so that titles, limits and files stay with the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tandem._results import Capacity, Description, Result, Step, flat

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot

    return matplotlib.pyplot.subplots(figsize=(7, 4.2), layout="constrained")[1]


def _chips(result: Mapping[str, Any]) -> int:
    return sum(int(pool["chips"]) for pool in result["pools"].values())


def throughput_interactivity(found: Capacity, *, ax: Axes | None = None) -> Axes:
    """Output tokens/s per chip against tokens/s per user, a line per system over its load.

    found: of `tandem.capacity(..., curve=True)`. Hollow marks miss the SLO.
    """
    ax = _axes(ax)
    for system in found.systems:
        chips = _chips(system["result"])
        x = [point["output_tokens_per_s_per_user"] for point in system["curve"]]
        y = [point["output_tokens_per_s"] / chips for point in system["curve"]]
        line, = ax.plot(x, y, label=system["scenario"])
        for hollow in (False, True):
            marks = [i for i, p in enumerate(system["curve"]) if p["meets_slo"] is not hollow]
            ax.plot([x[i] for i in marks], [y[i] for i in marks], "o", color=line.get_color(),
                    markerfacecolor="white" if hollow else line.get_color())
    ax.set(xlabel="tokens/s per user", ylabel="output tokens/s per chip")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def cost_breakdown(*results: Result, ax: Axes | None = None) -> Axes:
    """USD per million output tokens of each result: input's share, output's share, bands.

    The bar is what the run cost per million output tokens with its prompts; the whisker is the
    band of the cost of output tokens, where the result has one.
    """
    ax = _axes(ax)
    names = [result.data["scenario"] for result in results]
    output = [result.summary.get("usd_per_m_output_tokens") or 0.0 for result in results]
    prompts = []
    for result in results:
        rate = result.summary.get("usd_per_m_input_tokens") or 0.0
        produced = result.summary["output_tokens_per_s"]
        prompts.append(rate * (result.summary["total_tokens_per_s"] - produced) / produced)
    ax.bar(names, output, label="output tokens")
    ax.bar(names, prompts, bottom=output, label="their prompts")
    for index, result in enumerate(results):
        band = result.bands.get("usd_per_m_output_tokens")
        if band:
            ax.plot([index, index], band, color="black", marker="_", linewidth=1)
    ax.set_ylabel("USD per M output tokens")
    ax.legend()
    return ax


def time_breakdown(result: Result, *, ax: Axes | None = None, most: int = 9) -> Axes:
    """Where the passes of each pool spend their time, in per cent; small parts go together."""
    ax = _axes(ax)
    shares = {name: pool["time_shares"] for name, pool in result.pools.items()
              if pool["time_shares"]}
    size: dict[str, float] = {}
    for parts in shares.values():
        for part, share in parts.items():
            size[part] = max(size.get(part, 0.0), share)
    shown = sorted(size, key=lambda part: -size[part])[:most]
    names = list(shares)
    left = [0.0] * len(names)
    for part in [*shown, "other"]:
        width = [100 * (sum(parts.values()) - sum(parts.get(p, 0.0) for p in shown)
                        if part == "other" else parts.get(part, 0.0)) for parts in shares.values()]
        ax.barh(names, width, left=left, label=part.replace("_", " "))
        left = [a + b for a, b in zip(left, width)]
    ax.set_xlabel("% of the passes' time")
    ax.set_ylim(len(names) - 0.5, -0.5 - 0.55 * len(names))  # room above the bars for the legend
    ax.legend(ncol=2, fontsize="small", loc="upper center")
    return ax


def roofline(chip: Description, model: Description, step: Step | None = None, *,
             phase: str = "decode", peak: str = "peak_bfloat16", ax: Axes | None = None) -> Axes:
    """Operators of a pass under a chip's roofs.

    chip: `tandem.describe` of a GPU; model: of a model, in bfloat16, with the batch and context of
    the pass; step: `tandem.step` of that pass, whose times place the operators (without it they
    lie on the roof). Operators without matrix operations are left out.
    """
    ax = _axes(ax)
    rate = float(chip.parameters[peak]["value"])
    bandwidth = float(chip.parameters["hbm_bandwidth"]["value"])
    chips = step.data["chips"] if step else 1
    times = step.data["parts_ms"] if step else {}
    intensities = []
    for role in model.operators[phase]:
        moved = role["weight_bytes"] + role["read_bytes"] + role["write_bytes"]
        if role["matrix_flops"] == 0 or moved == 0 or (step and role["role"] not in times):
            continue
        x = role["matrix_flops"] / moved
        y = min(rate, x * bandwidth)
        if step:
            y = role["matrix_flops"] / chips / (times[role["role"]] * 1e-3)
        intensities.append(x)
        ax.plot(x, y / 1e12, "o")
        ax.annotate(role["role"].replace("_", " "), (x, y / 1e12), xytext=(5, 3),
                    textcoords="offset points", fontsize="small")
    low = min([*intensities, rate / bandwidth]) / 4
    high = max([*intensities, rate / bandwidth]) * 4
    roof = [low, rate / bandwidth, high]
    ax.plot(roof, [min(rate, x * bandwidth) / 1e12 for x in roof], color="black", linewidth=1)
    ax.set(xscale="log", yscale="log", xlabel="matrix operations per byte",
           ylabel="Tera operations per second and chip", title=f"{model.data['name']} on "
           f"{chip.data['name']}, {phase}")
    return ax


def timeline(result: Result, *, ax: Axes | None = None) -> Axes:
    """Every request as a line from its arrival: until its first token, and while it answers."""
    ax = _axes(ax)
    rows = result.requests
    first = rows["arrival_s"] + rows["ttft_ms"] / 1e3
    ax.hlines(rows["id"], rows["arrival_s"], first, color="C1", label="until the first token")
    ax.hlines(rows["id"], first, rows["arrival_s"] + rows["e2e_ms"] / 1e3, color="C0",
              label="answering")
    ax.set(xlabel="time, s", ylabel="request")
    ax.legend()
    return ax


def front_of(x: Sequence[float], y: Sequence[float], *, least_x: bool = False,
             least_y: bool = False) -> list[int]:
    """Indices of the points that no other beats in both figures, by rising x."""
    sign_x, sign_y = (-1 if least_x else 1), (-1 if least_y else 1)
    order = sorted(range(len(x)), key=lambda i: (-sign_x * x[i], -sign_y * y[i]))
    front: list[int] = []
    for index in order:
        if not front or sign_y * y[index] > sign_y * y[front[-1]]:
            front.append(index)
    return sorted(front, key=lambda i: x[i])


def pareto(points: Iterable[Mapping[str, Any]], x: str = "output_tokens_per_s_per_user",
           y: str = "output_tokens_per_s", *, least_x: bool = False, least_y: bool = False,
           ax: Axes | None = None) -> Axes:
    """Points of a sweep and the line through those that no other beats.

    points: as `tandem.sweep` returns them, rows of a DataFrame too; x, y: keys, nested ones with an
    underscore ("ttft_ms_p99"); least_x, least_y: smaller is better.
    """
    ax = _axes(ax)
    rows = points.to_dict("records") if hasattr(points, "to_dict") else list(points)
    rows = [flat(dict(row)) for row in rows]
    rows = [row for row in rows if row.get(x) is not None and row.get(y) is not None]
    xs, ys = [float(row[x]) for row in rows], [float(row[y]) for row in rows]
    front = front_of(xs, ys, least_x=least_x, least_y=least_y)
    ax.plot(xs, ys, "o", alpha=0.6)
    ax.plot([xs[i] for i in front], [ys[i] for i in front], "k:", label="Pareto front")
    ax.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    ax.legend()
    return ax


def users_context(cells: Iterable[Mapping[str, Any]] | Mapping[str, Any],
                  value: str = "output_tokens_per_s_per_user", *, users: str = "users",
                  context: str = "context_tokens", ax: Axes | None = None) -> Axes:
    """A map of a figure over users and context; cells without the figure stay empty.

    cells: rows with the keys `users`, `context` and `value`, or one of the systems of
    `tandem capacity --map --json`.
    """
    import numpy

    ax = _axes(ax)
    rows: list[Mapping[str, Any]]
    if isinstance(cells, Mapping):
        rows = [{**cell, context: row[context]} for row in cells["rows"] for cell in row["cells"]]
    else:
        rows = list(cells)
    across = sorted({row[context] for row in rows})
    up = sorted({row[users] for row in rows})
    grid = numpy.full((len(up), len(across)), numpy.nan)
    for row in rows:
        if row.get(value) is not None:
            grid[up.index(row[users]), across.index(row[context])] = row[value]
    image = ax.imshow(grid, origin="lower", aspect="auto")
    ax.set_xticks(range(len(across)), [str(item) for item in across])
    ax.set_yticks(range(len(up)), [str(item) for item in up])
    ax.set(xlabel="context, tokens", ylabel="users")
    for (i, j), cell in numpy.ndenumerate(grid):
        ax.text(j, i, "does not fit" if numpy.isnan(cell) else f"{cell:.4g}", ha="center",
                va="center", fontsize="small",
                color="black" if numpy.isnan(cell) else "white")
    ax.figure.colorbar(image, ax=ax, label=value.replace("_", " "))
    return ax
