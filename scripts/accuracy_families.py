"""Families of measured tables, as the accuracy targets name them, and which rows belong to each."""

# How the tables of the three chips with targets begin.
TABLES = ("h100_", "a100_", "b200_")


def is_sustained(table):
    """Whether the table was measured at the power cap."""
    return "_power_" in table["file"]


def _of(*operators, chips=("h100_sxm", "a100_sxm", "b200_sxm"), target="latency"):
    return lambda table: (table["op"] in operators and table["chip"] in chips
                          and table["target"] == target and "kernels/" in table["file"]
                          and table["id"].startswith(TABLES))


def _among(*parts):
    """Tables of collectives whose id contains one of the parts."""
    return lambda table: (table["file"].startswith("comm/")
                          and any(part in table["id"] for part in parts))


FAMILIES = {
    "gemm_16bit": _of("gemm"),
    "gemm_8bit": _of("gemm", chips=("h100_sxm", "b200_sxm")),
    "gemm_blocks": _of("gemm", chips=("h100_sxm", "b200_sxm")),
    "attention_prefill": _of("attention_prefill"),
    "attention_decode": _of("attention_decode"),
    "moe": _of("moe"),
    "mla_prefill": _of("mla_prefill"),
    "mla_decode": _of("mla_decode"),
    "gated_delta": _of("gdn"),
    "all_reduce_graph": _among("custom_allreduce"),
    "collectives_library": _among("_nccl."),
    "expert_exchange": _among("deepep_lowlatency", "deepep_h800"),
    "power": _of("gemm", "attention_prefill", "moe", "mla_prefill", target="power"),
}

_TYPES = {"gemm_16bit": {"bfloat16"}, "gemm_8bit": {"fp8", "int8"},
          "gemm_blocks": {"fp8_block", "nvfp4"}}


def wants_row(family, table, row):
    """Whether a row of the table belongs to the family: products are told apart by element type."""
    types = _TYPES.get(family)
    return types is None or row[table["columns"]["dtype"]] in types
