"""A measured row of a service beside its prediction, and samples of rows."""

import dataclasses
import math
import random


@dataclasses.dataclass
class Case:
    """One row of a table: `line` of `file`, drawn by its `group`. `measured` and `predicted` hold figures by name:
    ttft, tpot and e2e in ms, throughput in tokens/s; `reason` says why there is no prediction."""

    table: str
    file: str
    line: int
    group: str
    model: str = ""
    gpu: str = ""
    precision: str = ""
    backend: str = ""
    users: int = 1
    measured: dict = dataclasses.field(default_factory=dict)
    predicted: dict = dataclasses.field(default_factory=dict)
    reason: str = ""

    def key(self):
        """What rows are reported by."""
        return (self.model, self.gpu, self.precision, self.backend)


def sample(cases, number, seed):
    """About `number` cases, of each group in proportion and at least one; all where number is None."""
    if number is None or number >= len(cases):
        return list(cases)
    groups = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    chosen = set()
    for name in sorted(groups):
        rows = groups[name]
        share = max(1, math.floor(number * len(rows) / len(cases)))
        drawn = random.Random(f"{seed}/{name}").sample(range(len(rows)), min(share, len(rows)))
        chosen.update(id(rows[index]) for index in drawn)
    return [case for case in cases if id(case) in chosen]
