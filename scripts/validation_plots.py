"""Scatter plots of measured against predicted latency."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend comes first)

POINTS = 350  # per plot: keeps a picture well below 150 KB
COLOURS = {"h100_sxm": "#1f77b4", "a100_sxm": "#2ca02c", "b200_sxm": "#d62728"}


def scatter(rows, title, path):
    """One SVG: a point per row, coloured by chip; lines at exact and +-20 %."""
    rows = rows.sample(min(POINTS, len(rows)), random_state=1)
    figure, axes = plt.subplots(figsize=(4.2, 3.6))
    for chip, part in rows.groupby("chip"):
        axes.plot(part.measured, part.predicted, ".", markersize=3, alpha=0.6, label=chip,
                  color=COLOURS.get(chip, "#7f7f7f"))
    low, high = rows.measured.min() / 1.5, rows.measured.max() * 1.5
    for factor, style in ((1, "-"), (1.2, ":"), (1 / 1.2, ":")):
        axes.plot([low, high], [low * factor, high * factor], style, color="black", linewidth=0.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("measured, ms")
    axes.set_ylabel("predicted, ms")
    axes.set_title(title)
    axes.legend(fontsize=7)
    figure.tight_layout()
    # No date and fixed ids: the same rows give the same file.
    with plt.rc_context({"svg.hashsalt": "tandem"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
