"""Pictures show the numbers they are given."""

import matplotlib
import pytest

import tandem
from tandem import plot

matplotlib.use("Agg")
TINY = {"traffic.requests": 4, "traffic.concurrency": 2, "traffic.prompt_tokens": 64,
        "traffic.output_tokens": 3}


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def result():
    return tandem.run("llama8b_gpu_pd", set=TINY)


def test_curves_stand_where_the_capacity_search_found_them():
    found = tandem.capacity("llama8b_gpu", set={**TINY, "slo.ttft_p99": "20 ms"}, curve=True)
    axes = plot.throughput_interactivity(found)
    curve = found.systems[0]["curve"]
    assert list(axes.lines[0].get_xdata()) == [p["output_tokens_per_s_per_user"] for p in curve]
    assert list(axes.lines[0].get_ydata()) == [p["output_tokens_per_s"] for p in curve]


def test_costs_of_answers_and_prompts_add_up_to_the_bill(result):
    axes = plot.cost_breakdown(result)
    heights = [patch.get_height() for patch in axes.patches]
    summary = result.summary
    whole = summary["usd_per_m_total_tokens"] * summary["total_tokens_per_s"]
    assert sum(heights) == pytest.approx(whole / summary["output_tokens_per_s"])


def test_parts_of_the_time_are_a_whole(result):
    axes = plot.time_breakdown(result, most=3)
    ends = {}
    for patch in axes.patches:
        ends[round(patch.get_y(), 3)] = max(ends.get(round(patch.get_y(), 3), 0),
                                            patch.get_x() + patch.get_width())
    assert len(ends) == 2
    assert all(end == pytest.approx(100) for end in ends.values())
    axes.figure.canvas.draw()
    legend = axes.get_legend().get_window_extent()
    assert not any(legend.overlaps(patch.get_window_extent()) for patch in axes.patches)


def test_operators_lie_under_their_roof():
    chip = tandem.describe("h100_sxm")
    model = tandem.describe("llama-3.1-8b", batch=16, context=1025)
    step = tandem.step("llama8b_gpu", requests=16, cached=1024)
    axes = plot.roofline(chip, model, step)
    roof = axes.lines[-1]
    points = [line for line in axes.lines[:-1]]
    assert len(points) == 6  # four products of a layer, attention, head
    bandwidth = chip.parameters["hbm_bandwidth"]["value"]
    for point in points:
        (x,), (y,) = point.get_xdata(), point.get_ydata()
        assert 0.1 * x * bandwidth < y * 1e12 <= x * bandwidth
    assert max(roof.get_ydata()) * 1e12 == chip.parameters["peak_bfloat16"]["value"]


def test_a_line_per_request_and_phase(result):
    axes = plot.timeline(result)
    waiting, answering = axes.collections
    assert len(waiting.get_segments()) == len(answering.get_segments()) == 4
    assert answering.get_segments()[0][1][0] == pytest.approx(
        result.requests["arrival_s"][0] + result.requests["e2e_ms"][0] / 1e3)


def test_the_front_has_what_no_other_beats():
    points = [{"a": 1, "b": {"c": 5}}, {"a": 2, "b": {"c": 4}}, {"a": 2, "b": {"c": 3}},
              {"a": 1.5, "b": {"c": 4}}, {"a": 3, "b": {"c": 1}}, {"a": None, "b": {"c": 9}}]
    axes = plot.pareto(points, "a", "b_c")
    assert list(axes.lines[1].get_xdata()) == [1, 2, 3]
    assert plot.front_of([1, 2, 3], [1, 2, 3], least_x=True, least_y=True) == [0]
    assert plot.front_of([1, 2, 3], [3, 2, 1], least_y=True) == [2]


def test_cells_that_do_not_fit_are_empty():
    axes = plot.users_context([{"users": 1, "context_tokens": 10, "v": 2.0},
                               {"users": 4, "context_tokens": 10, "v": 1.0},
                               {"users": 1, "context_tokens": 20, "v": 1.5},
                               {"users": 4, "context_tokens": 20, "v": None}], "v")
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["2", "1.5", "1", "does not fit"]
