"""Families of measured tables against the errors they must stay below."""

import accuracy_families

H100, OTHERS = 0, 1
CHIPS = {"h100_sxm": H100, "a100_sxm": OTHERS, "b200_sxm": OTHERS}

# Name, operators, element types (none: all), metric, and the targets in percent of MAPE: H100, and
# A100 and B200.
FAMILIES = (
    ("GEMM bf16", {"gemm"}, {"bfloat16"}, "latency", (7, 10)),
    ("GEMM fp8 / int8", {"gemm"}, {"fp8", "int8"}, "latency", (12, 16)),
    ("GEMM fp8_block / nvfp4", {"gemm"}, {"fp8_block", "nvfp4"}, "latency", (15, 18)),
    ("attention prefill", {"attention_prefill"}, None, "latency", (12, 15)),
    ("attention decode", {"attention_decode"}, None, "latency", (12, 15)),
    ("MoE", {"moe"}, None, "latency", (18, 20)),
    ("MLA prefill", {"mla_prefill"}, None, "latency", (18, 20)),
    ("MLA decode", {"mla_decode"}, None, "latency", (18, 20)),
    ("Gated DeltaNet", {"gdn"}, None, "latency", (None, 22)),
    ("power", None, None, "power", (None, 12)),
    ("all-reduce in a graph", {"all_reduce"}, {"bfloat16"}, "latency", (15, 15)),
    ("library collectives", {"all_reduce", "all_gather", "reduce_scatter", "all_to_all"},
     {"float16", "int8"}, "latency", (15, 20)),
    ("low-latency expert exchange", {"moe_dispatch", "moe_combine"}, None, "latency", (20, None)),
)
# Bulk exchanges have no target.
WITHOUT_TARGET = ("h100_deepep_normal",)
MOST_BIAS = 4  # points, either way
P90_PER_TARGET = 2.5
BETTER_THAN_ROOFLINE = 0.6  # of its error, where that is above 10 %
ROOFLINE_ABOVE = 10
LEAST_PREDICTED = 0.99


def misses(target, figures):
    """Which of the conditions a family does not meet, in words."""
    if figures["predicted"] < LEAST_PREDICTED * figures["rows"]:
        yield "rows"
    if figures["mape"] > target:
        yield "MAPE"
    if abs(figures["bias"]) > MOST_BIAS:
        yield "bias"
    if figures["p90"] > P90_PER_TARGET * target:
        yield "p90"
    roofline = figures["roofline"]
    if (roofline is not None and roofline > ROOFLINE_ABOVE
            and figures["mape"] > BETTER_THAN_ROOFLINE * roofline):
        yield "roofline"


def figures_of(rows):
    """MAPE, bias, p90 and the roofline's MAPE over the predicted rows of a frame; percent."""
    known = rows[rows.predicted.notna()]
    if known.empty:
        return None
    error = (known.predicted / known.measured - 1) * 100
    with_roofline = known[known.baseline.notna()]
    roofline = (with_roofline.baseline / with_roofline.measured - 1).abs() * 100
    return {"rows": len(rows), "predicted": len(known), "mape": error.abs().mean(),
            "bias": error.mean(), "p90": error.abs().quantile(0.9),
            "roofline": roofline.mean() if len(roofline) else None}


def members(rows, family, chip):
    """The rows of a family on a chip: tables that the accuracy gate's families take too."""
    _, operators, types, metric, _ = family
    part = rows[(rows.chip == chip) & (rows.metric == metric) & rows.table.map(
        lambda name: str(name).startswith(accuracy_families.TABLES)
        and not str(name).startswith(WITHOUT_TARGET))]
    if operators is not None:
        part = part[part.op.isin(operators)]
    return part if types is None else part[part.dtype.isin(types)]


def target_table(rows):
    """One line per family and chip that has rows and a target."""
    lines = ["| family | chip | rows | MAPE % | bias % | p90 % | roofline % | target % | met |",
             "|" + "---|" * 9]
    for family in FAMILIES:
        for chip, column in CHIPS.items():
            target = family[4][column]
            figures = figures_of(members(rows, family, chip)) if target else None
            if figures is None:
                continue
            missed = list(misses(target, figures))
            roofline = "-" if figures["roofline"] is None else f"{figures['roofline']:.1f}"
            lines.append(
                f"| {family[0]} | {chip} | {figures['predicted']} of {figures['rows']} | "
                f"{figures['mape']:.1f} | {figures['bias']:+.1f} | {figures['p90']:.1f} | "
                f"{roofline} | {target} | {'no: ' + ', '.join(missed) if missed else 'yes'} |")
    return lines
