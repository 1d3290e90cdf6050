"""What scripts/services_page.py reads from rows and runs."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from services import cases, report, request_log, tables  # noqa: E402


def case(line, group):
    return cases.Case("inferencex", "rows.csv", line, group)


def test_a_sample_has_some_of_every_group_and_the_same_ones_again():
    every = [case(line, "e" if line < 90 else "f") for line in range(100)]
    drawn = cases.sample(every, 20, 1)
    assert [one.line for one in drawn] == [one.line for one in cases.sample(every, 20, 1)]
    assert sum(one.group == "e" for one in drawn) == 18
    assert sum(one.group == "f" for one in drawn) == 2
    assert [one.line for one in drawn] != [one.line for one in cases.sample(every, 20, 2)]


def row(**changes):
    base = {"metric": "ttft", "run_model": "gpt-oss-120b", "run_chip": "h100_sxm", "run_users": "16",
            "software": "vllm", "model": "openai/gpt-oss-120b", "system": "h100_sxm", "precision": "fp4",
            "measured": "200", "predicted": "150", "reason": ""}
    return {**base, **changes}


def test_a_case_takes_over_the_figures_that_its_table_shows():
    one = case(2, "")
    tables.fill_in(one, row())
    tables.fill_in(one, row(metric="tpot", measured="10", predicted="", reason="too large"))
    tables.fill_in(one, row(metric="mean_power"))
    assert one.measured == {"ttft": 200, "tpot": 10}
    assert one.predicted == {"ttft": 150}
    assert one.reason == "too large"
    assert one.key() == ("gpt-oss-120b", "h100_sxm", "mxfp4", "vLLM")


def test_errors_are_those_of_predictions_alone():
    first, second = case(2, ""), case(3, "")
    tables.fill_in(first, row())
    tables.fill_in(second, row(predicted="", reason="too large"))
    assert report.ratios([first, second], "ttft") == [0.75]
    assert report.errors([0.75, 1.5]) == ["37.5 %", "1.12", "1.12"]
    assert "1 predicted. Left out: 1 too large." in report.left_out([first, second], [first, second])


def test_coverage_counts_rows_that_have_a_scenario(monkeypatch):
    def run(command, **_):
        assert "--map" in command
        # The last row has no second figure.
        lines = "".join(f"{line},{metric},{reason}\n" for metric in ("ttft", "tpot")
                        for line, reason in enumerate((tables.MAPPED, "no system", tables.MAPPED), 2)
                        if (line, metric) != (4, "tpot"))
        pathlib.Path(command[command.index("--rows") + 1]).write_text("line,metric,reason\n" + lines)

    monkeypatch.setattr(tables.subprocess, "run", run)
    counts = tables.coverage("inferencex", "tandem", "data")
    assert counts == {"": 2, "no system": 1}
    assert report.coverage(counts) == "Of all 3 rows 2 (66.7 %) stand for a scenario; not: 1 no system.\n"


def test_rows_are_shared_out_to_workers_and_come_back_to_their_cases(monkeypatch):
    asked = []

    def validated(tandem, data, store, file, some):
        asked.append([one.line for one in some])
        return [row(table=file, line=str(one.line), measured=str(one.line)) for one in some]

    monkeypatch.setattr(tables, "validated", validated)
    every = [case(line, "") for line in range(2, 7)]
    tables.predict(every, "tandem", pathlib.Path("data"), workers=2)
    assert sorted(asked) == [[2, 4, 6], [3, 5]]
    assert [one.measured["ttft"] for one in every] == [2, 3, 4, 5, 6]


def test_figures_of_a_log():
    # Three requests; the second one waited.
    found = request_log.figures({"ttft": [10, 90, 20]}, 2.5, [True, False, True])
    assert found["makespan"] == 2.5
    assert found["ttft_mean"] == 40
    assert found["ttft_p50"] == 20
    assert found["ttft_p99"] == pytest.approx(20 + 0.98 * 70)
    assert found["ttft_without_wait"] == 15
