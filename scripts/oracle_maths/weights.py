"""Names and shapes of a network's tensors, seeded values for them, and safetensors files."""
import json
import math
import struct

import numpy as np


def mixer_shapes(m, hidden):
    if m["type"] == "grouped":
        q, kv = m["heads"] * m["head_dim"], m["kv_heads"] * m["head_dim"]
        shapes = {"query": (q * (2 if m.get("output_gate") else 1), hidden), "key": (kv, hidden)}
        if not m.get("keys_are_values"):
            shapes["value"] = (kv, hidden)
        if m.get("qkv_bias"):
            shapes.update({n + "_bias": (s[0],) for n, s in list(shapes.items())})
        if m.get("qk_norm"):
            per_head = m["qk_norm"] == "per_head"
            shapes["query_norm"] = (m["head_dim"] if per_head else q,)
            shapes["key_norm"] = (m["head_dim"] if per_head else kv,)
        if m.get("sinks"):
            shapes["sinks"] = (m["heads"],)
        shapes["output"] = (hidden, q)
        if m.get("output_bias"):
            shapes["output_bias"] = (hidden,)
        return {"attention." + n: s for n, s in shapes.items()}
    if m["type"] == "latent":
        heads, rank, source = m["heads"], m["kv_rank"], m["query_rank"] or hidden
        shapes = {"attention.query_up": (heads * (m["nope_dim"] + m["rope_dim"]), source),
                  "attention.kv_down": (rank + m["rope_dim"], hidden),
                  "attention.kv_norm": (rank,),
                  "attention.kv_up": (heads * (m["nope_dim"] + m["value_dim"]), rank),
                  "attention.output": (hidden, heads * m["value_dim"])}
        if m["query_rank"]:
            shapes["attention.query_down"] = (m["query_rank"], hidden)
            shapes["attention.query_norm"] = (m["query_rank"],)
        if "indexer" in m:
            n, d = m["indexer"]["heads"], m["indexer"]["head_dim"]
            shapes.update({"indexer.query": (n * d, source), "indexer.key": (d, hidden),
                           "indexer.key_norm": (d,), "indexer.key_norm_bias": (d,),
                           "indexer.head_weights": (n, hidden)})
        return shapes
    values = m["value_heads"] * m["value_dim"]
    channels = 2 * m["key_heads"] * m["key_dim"] + values
    heads = m["value_heads"]
    return {"delta.qkv": (channels, hidden), "delta.z": (values, hidden),
            "delta.b": (heads, hidden), "delta.a": (heads, hidden),
            "delta.conv": (channels, m["conv_taps"]), "delta.a_log": (heads,),
            "delta.dt_bias": (heads,), "delta.norm": (m["value_dim"],),
            "delta.output": (hidden, values)}


def ffn_shapes(ffn, hidden):
    shapes = {}

    def block(prefix, width, bias, stack=()):
        sizes = {"up": (width, hidden), "down": (hidden, width)}
        if ffn["gated"]:
            sizes["gate"] = (width, hidden)
        for name, size in sizes.items():
            shapes[prefix + name] = stack + size
            if bias:
                shapes[prefix + name + "_bias"] = stack + size[:1]

    if ffn.get("intermediate"):
        block("ffn.", ffn["intermediate"], ffn.get("bias"))
    if "experts" in ffn:
        e, n = ffn["experts"], ffn["experts"]["router"]["experts"]
        block("experts.", e["intermediate"], e.get("bias"), (n,))
        shapes["experts.router"] = (n, hidden)
        for flag, name, size in (("router_norm", "router_norm", hidden),
                                 ("expert_scale", "scale", n)):
            if e.get(flag):
                shapes["experts." + name] = (size,)
        if e["router"].get("bias"):
            shapes["experts.router_bias"] = (n,)
        if e.get("shared"):
            block("shared.", e["shared_intermediate"], False)
        if e.get("shared_gate"):
            shapes["shared.switch"] = (1, hidden)
    return shapes


def tensor_shapes(config):
    """Name and shape of every tensor: sim/describe/tensors.hpp says the same in C++."""
    hidden, shapes = config["hidden"], {}

    def norms(prefix, *names):
        for name in names:
            shapes[prefix + name] = (hidden,)
            if config["norm"]["kind"] == "layer":
                shapes[prefix + name + "_bias"] = (hidden,)

    def layer(prefix, kind):
        norms(prefix, "attention_norm", "ffn_norm")
        if kind.get("post_norms"):
            norms(prefix, "attention_post_norm", "ffn_post_norm")
        if kind["ffn"].get("intermediate") and "experts" in kind["ffn"]:
            norms(prefix, "ffn.post_norm", "experts.norm", "experts.post_norm")
        parts = mixer_shapes(kind["mixer"], hidden) | ffn_shapes(kind["ffn"], hidden)
        shapes.update({prefix + name: shape for name, shape in parts.items()})

    shapes["embedding"] = (config["vocabulary"], hidden)
    if config.get("learned_positions"):
        shapes["positions"] = (config["max_context"], hidden)
    for i, name in enumerate(config["layers"]):
        layer(f"layers.{i}.", config["kinds"][name])
    norms("", "final_norm")
    if not config.get("tied"):
        shapes["head"] = (config["vocabulary"], hidden)
    for i in range(config.get("mtp", {}).get("modules", 0)):
        norms(f"mtp.{i}.", "embedding_norm", "hidden_norm", "final_norm")
        shapes[f"mtp.{i}.combine"] = (hidden, 2 * hidden)
        layer(f"mtp.{i}.", config["kinds"][config["mtp"]["kind"]])
    return shapes


def seeded(name, count):
    """count numbers in [-1, 1), multiples of 2^-23: SplitMix64 (Steele et al., 2014) from the
    64-bit FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    x = (np.uint64(state) +
         np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def spread(name, shape, one_plus):
    """Centre and largest deviation of a tensor's values."""
    if name.endswith(("experts.gate_bias", "experts.up_bias")):
        return 0.0, 8.0  # reaches beyond the clamp of gpt-oss
    if name.endswith("_bias"):
        return 0.0, 0.3
    if name.endswith("norm"):
        plain = name.endswith(("delta.norm", "router_norm", "indexer.key_norm"))
        return (0.0 if one_plus and not plain else 1.0), 0.3
    if name.endswith("experts.scale"):
        return 1.0, 0.3
    if name in ("embedding", "positions") or len(shape) == 1:
        return 0.0, 1.5
    return 0.0, math.sqrt(3.0 / shape[-1])


def seeded_weights(config):
    weights = {}
    for name, shape in tensor_shapes(config).items():
        centre, width = spread(name, shape, config["norm"].get("one_plus", False))
        values = centre + width * seeded(name, math.prod(shape))
        weights[name] = values.astype(np.float32).astype(np.float64).reshape(shape)
    return weights


def read_safetensors(path):
    """Format: 8-byte little-endian header length, JSON header, data; float32 and float64 only."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    weights = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        kind = {"F32": "<f4", "F64": "<f8"}[entry["dtype"]]
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], kind).astype(np.float64)
        weights[name] = values.reshape(entry["shape"])
    return weights
