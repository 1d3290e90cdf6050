"""What scripts/services_page.py reads from rows and runs."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from services import cases, inferencex, simulation  # noqa: E402


def test_weighted_median_between_two_where_half_falls_on_an_edge():
    assert simulation.weighted_median([3, 1, 2, 4], [1, 1, 1, 1]) == 2.5
    assert simulation.weighted_median([3, 1, 2], [1, 1, 1]) == 2
    assert simulation.weighted_median([1, 2, 10], [1, 1, 5]) == 10


def requests(times):
    return [{"id": index, "ttft_ms": time, "tpot_ms": 1.0} for index, time in enumerate(times)]


def test_the_first_round_weighs_a_tenth():
    # One user, three requests: 0.1, 0.45 and 0.45 of all weight.
    case = cases.Case("", "", "", "", "", "", {}, facts={"concurrency": 1})
    found = simulation.closed(requests([2, 3, 5]), case)
    assert found["ttft"] == pytest.approx(0.1 * 2 + 0.45 * 3 + 0.45 * 5)
    assert found["ttft_median"] == 3
    # Two users: the first two share the tenth.
    case.facts["concurrency"] = 2
    assert simulation.closed(requests([2, 4, 8]), case)["ttft"] == pytest.approx(0.05 * 2 + 0.05 * 4 + 0.9 * 8)


def row(**changes):
    base = {"id": "x_agg_1024x1024_c4_cfg1", "tp_size": "8", "attention_dp_size": "1", "moe_ep_size": "1",
            "moe_tp_size": "8", "model_path": "deepseek-ai/DeepSeek-R1"}
    return {**base, **changes}


@pytest.mark.parametrize("changes, expected", [
    ({}, (8, 1, False)),
    ({"id": "r1_c8_tp4_ep4_950", "tp_size": "16", "moe_ep_size": "4"}, (4, 4, False)),
    ({"id": "r1_c8_tp8_0_ep8_0_316", "tp_size": "1", "attention_dp_size": "64", "moe_ep_size": "8"}, (8, 8, True)),
    ({"id": "q_c16_tp2_epnone_1", "tp_size": "2", "attention_dp_size": ""}, (2, 1, False)),
    ({"tp_size": "1", "attention_dp_size": "8", "moe_ep_size": "8", "moe_tp_size": "1"}, (8, 8, True)),
    ({"tp_size": "64", "moe_ep_size": "8", "moe_tp_size": "8"}, (8, 8, False)),
])
def test_gpus_of_a_row_are_those_of_its_id(changes, expected):
    found = inferencex.parallelism(row(**changes))
    assert (found["gpus"], found["expert"], found["attention_data"]) == expected


def test_a_sample_has_some_of_every_group_and_the_same_ones_again():
    every = [cases.Case("", str(index), "m", "g", "e" if index < 90 else "f", "p", {}) for index in range(100)]
    drawn = cases.sample(every, 20, 1)
    assert [case.row for case in drawn] == [case.row for case in cases.sample(every, 20, 1)]
    assert sum(case.backend == "e" for case in drawn) == 18
    assert sum(case.backend == "f" for case in drawn) == 2
    assert [case.row for case in drawn] != [case.row for case in cases.sample(every, 20, 2)]


def test_reasons_without_place_and_numbers():
    assert simulation.reason_of("a.yaml:3:4: error: needs 812.5 GB, has 80 GB") == "needs N GB, has N GB"
