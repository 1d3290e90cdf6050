#!/usr/bin/python3
"""Does the accuracy gate complain about what it should? Figures are made up."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import accuracy  # noqa: E402


def entry(mape=10.0, bias=-3.0, p90=20.0, rows=30):
    return {"mape": mape, "bias": bias, "p90": p90, "rows": rows}


def found(old, new):
    return list(accuracy.complaints({"quoted": {"t": old}}, {"quoted": {"t": new}}))


class Gate(unittest.TestCase):
    def test_what_stays_within_the_tolerances_passes(self):
        self.assertEqual(found(entry(), entry(mape=10.5, bias=4.0, p90=22.0)), [])

    def test_each_figure_is_gated(self):
        self.assertEqual(found(entry(), entry(mape=10.51)), ["quoted t: mape 10.00 % -> 10.51 %"])
        self.assertEqual(found(entry(), entry(bias=4.01)), ["quoted t: bias -3.00 % -> 4.01 %"])
        self.assertEqual(found(entry(), entry(p90=22.01)), ["quoted t: p90 20.00 % -> 22.01 %"])
        self.assertEqual(found(entry(), entry(rows=29)), ["quoted t: 29 of 30 rows predicted"])

    def test_new_tables_fail_and_new_figures_are_counted(self):
        self.assertEqual(list(accuracy.complaints({}, {"quoted": {"new": entry()}})),
                         ["quoted new: has no baseline; run update"])
        old = {"quoted": {"t": {"mape": 10.0, "rows": 30}}}
        self.assertEqual(list(accuracy.complaints(old, {"quoted": {"t": entry()}})), [])
        self.assertEqual(accuracy.ungated(old, {"quoted": {"t": entry()}}), 2)

    def test_a_rise_wants_a_reason_and_keeps_it(self):
        before = {"quoted": {"t": entry()}, "samples": {"s": entry()}, "history": [{"reason": "a"}]}
        better = {"quoted": {"t": entry(mape=9.0)}}
        worse = {"quoted": {"t": entry(mape=10.01)}}
        self.assertEqual(accuracy.updated(before, better, "")["history"], [{"reason": "a"}])
        self.assertEqual(accuracy.updated(before, better, "")["samples"], {"s": entry()})
        self.assertIsNone(accuracy.updated(before, worse, ""))
        self.assertEqual(accuracy.updated(before, worse, "b")["history"][1],
                         {"reason": "b", "rose": {"quoted t mape": [10.0, 10.01]}})

    def test_a_family_is_the_mean_over_its_rows(self):
        # (10 * 30 + 20 * 10) / 40 = 12.5; (-3 * 30 + 5 * 10) / 40 = -1; (20 * 30 + 40 * 10) / 40.
        tables = {"moe.a/-/latency": entry(), "moe.b/-/latency": entry(20.0, 5.0, 40.0, 10)}
        self.assertEqual(accuracy.by_family(tables), {"moe": entry(12.5, -1.0, 25.0, 40)})


if __name__ == "__main__":
    unittest.main()
