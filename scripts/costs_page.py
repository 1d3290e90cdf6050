#!/usr/bin/env python3
"""Cost of owning an accelerator beside published figures: writes docs/costs.md.

Usage: costs_page.py --tandem FILE [--check]

`tandem describe` of two price books says what an hour of each chip costs to own; SemiAnalysis
publishes the same for InferenceX. The capital that its figure implies is what is left of it when
electricity and hosting are paid, over the hourly share of a dollar of capital.
"""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "costs.md"
BOOKS = {"hyperscaler_2026_04": "large cloud", "neocloud_2026_04": "cloud of GPUs"}
# SemiAnalysisAI/InferenceX-app@77ca49a constants.ts, April 2026: USD per GPU hour.
PUBLISHED = {
    "h100_sxm": (1.30, 1.69),
    "h200_sxm": (1.41, 1.74),
    "b200_sxm": (1.95, 2.34),
    "b300_sxm": (2.34, 2.808),
    "gb200": (2.21, 2.75),
    "gb300": (2.652, 3.30),
    "mi300x": (1.12, 1.40),
}
LIMIT = 0.25

HEAD = """# Cost of an hour of an accelerator

Written by `scripts/costs_page.py` from the price books `hyperscaler_2026_04` and `neocloud_2026_04`
(`tandem describe BOOK`). Capital is the list price per accelerator with its share of server and
network; it is repaid with interest over its life in level payments, plus spares, electricity and
hosting at the all-in power of the meter. Published: cost of ownership in InferenceX (SemiAnalysis,
April 2026; B300 and GB300 are placeholders there, scaled from B200 and GB200). Implied capital is
what the published figure leaves for capital on the same terms. A chip without a list price has only
that. None of the numbers is fitted to the published ones.

| accelerator | owner | capital, kUSD | owned, USD/h | published, USD/h | error | implied capital, kUSD |
|---|---|---|---|---|---|---|
"""


def hours_of(tandem, book):
    """Per chip the columns of `describe`, and the hourly share of a dollar of capital."""
    text = subprocess.run([tandem, "describe", book], check=True, capture_output=True,
                          text=True).stdout
    chips, share = {}, None
    for line in text[text.index("USD per hour"):].splitlines()[2:]:
        if line.strip().startswith("of a dollar"):
            share = float(line.split()[-1])
            break
        name, *cells = line.split()
        chips[name] = [None if cell == "-" else float(cell) for cell in cells]
    return chips, share


def page_of(tandem):
    """The page, and the relative errors of chips with a list price."""
    lines, errors = [], []
    for column, (book, owner) in enumerate(BOOKS.items()):
        chips, share = hours_of(tandem, book)
        for chip, published in PUBLISHED.items():
            capital, _, power, owned, _ = chips.get(chip, [None] * 5)
            if power is None:
                continue
            implied = (published[column] - power) / share / 1000
            cells = ["-", "-", "-"]
            if owned is not None:
                errors.append(owned / published[column] - 1)
                cells = [f"{capital / 1000:.2f}", f"{owned:.2f}", f"{100 * errors[-1]:+.1f} %"]
            lines.append(f"| {chip} | {owner} | {cells[0]} | {cells[1]} | {published[column]:.2f} "
                         f"| {cells[2]} | {implied:.1f} |\n")
    mean = sum(abs(error) for error in errors) / len(errors)
    largest = max(abs(error) for error in errors)
    end = (f"\n{len(errors)} figures with a list price: mean error {100 * mean:.1f} %, "
           f"largest {100 * largest:.1f} %.\n")
    return HEAD + "".join(lines) + end, errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tandem", required=True)
    parser.add_argument("--check", action="store_true", help="only say whether the page is current")
    arguments = parser.parse_args()
    text, errors = page_of(arguments.tandem)
    if max(abs(error) for error in errors) > LIMIT:
        sys.exit(f"an hour is more than {100 * LIMIT:.0f} % from its published cost:\n{text}")
    if not arguments.check:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/costs.md is not what scripts/costs_page.py writes; run it")


if __name__ == "__main__":
    main()
