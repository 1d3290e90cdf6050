"""A measured row of a service, the scenario that stands for it, and samples of rows."""

import dataclasses
import math
import random


@dataclasses.dataclass
class Case:
    """One row of a table. `scenario` is a scenario file's text, or None where the row is left out for `reason`;
    `trace` is the text of the table trace.csv beside it. `measured` and `predicted` hold figures by name: ttft and
    tpot in ms, e2e in s, throughput in tokens/s. `statistic` says how the latter are read from a run's requests."""

    table: str
    row: str
    model: str
    gpu: str
    backend: str
    precision: str
    measured: dict
    scenario: str | None = None
    trace: str = ""
    reason: str = ""
    statistic: str = "closed"
    facts: dict = dataclasses.field(default_factory=dict)
    predicted: dict = dataclasses.field(default_factory=dict)

    def group(self):
        """What rows are sampled and reported by."""
        return (self.model, self.gpu, self.precision, self.backend)


def scenario(model, system, placement, serving, software, traffic):
    """The text of a scenario file, one line per key; mappings and lists in flow style."""
    parts = {"model": model, "system": system, "placement": placement, "serving": serving, "software": software,
             "traffic": traffic, "audit_steps": 0}
    return "kind: scenario\n" + "".join(f"{key}: {flow(value)}\n" for key, value in parts.items())


def flow(value):
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def sample(cases, number, seed):
    """About `number` cases, of each group in proportion and at least one; all where number is None."""
    if number is None or number >= len(cases):
        return list(cases)
    groups = {}
    for case in cases:
        groups.setdefault((*case.group(), case.facts.get("mode", "")), []).append(case)
    chosen = set()
    for key in sorted(groups):
        rows = groups[key]
        share = max(1, math.floor(number * len(rows) / len(cases)))
        drawn = random.Random(f"{seed}/{'/'.join(key)}").sample(range(len(rows)), min(share, len(rows)))
        chosen.update(id(rows[index]) for index in drawn)
    return [case for case in cases if id(case) in chosen]
