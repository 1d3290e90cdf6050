#!/usr/bin/python3
"""Independent oracle of the reference model: logits of small decoders in float64.

Written from the papers' formulas with NumPy; shares no code with the simulator and has no caches:
every layer sees the whole sequence at once. Sources stand above each function.

    oracle.py --check                       every golden in tests/lower/golden, within 1e-9
    oracle.py --update FILE...              recompute the logits of goldens in place
    oracle.py --model FILE --weights W.safetensors --tokens 1,2,3     print logits as JSON

A golden holds the network under "config", its "prompt" and the logits. Its weights are not stored:
seeded_weights() makes them from the tensors' names, here and in tests/lower/seeded_weights.hpp.
Tensor names and shapes are those of sim/describe/tensors.hpp.
"""
import argparse
import json
import math
import pathlib
import struct
import sys

import numpy as np

GOLDENS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "lower" / "golden"


# ---------------------------------------------------------------- norms, activations, rotation

def rms_norm(x, weight, epsilon, one_plus=False):
    """Zhang and Sennrich, 2019; Gemma and Qwen3-Next store weights as their distance from 1."""
    scaled = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon)
    return scaled * (1.0 + weight if one_plus else weight)


def layer_norm(x, weight, bias, epsilon):
    """Ba, Kiros and Hinton, arXiv 1607.06450."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon) * weight + bias


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cap(x, limit):
    """Gemma 2, arXiv 2408.00118, section 2."""
    return limit * np.tanh(x / limit) if limit else x


ACTIVATIONS = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0))),
    "gelu_tanh": lambda x: 0.5 * x * (
        1.0 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}


def gated(kind, gate, up):
    """Shazeer, 2020; clamped: openai/gpt-oss gpt_oss/torch/model.py, swiglu()."""
    if kind == "clamped_swiglu":
        g, u = np.minimum(gate, 7.0), np.clip(up, -7.0, 7.0)
        return g * sigmoid(1.702 * g) * (u + 1.0)
    return ACTIVATIONS[kind](gate) * up


def yarn_mscale(factor, s):
    return 0.1 * s * math.log(factor) + 1.0 if factor > 1 else 1.0


def rope_table(rope, width):
    """Angles per position of each pair, and what cosine and sine are multiplied by.

    Su et al., 2021; Llama 3.1 scaling: meta-llama/llama-models apply_scaling(); YaRN: Peng et al.,
    arXiv 2309.00071; "proportional": the whole head's frequencies, the last ones zero (Gemma 4).
    """
    whole = rope.get("proportional", False)
    rotated = rope.get("rotated", width)
    dims = width if whole else rotated
    f = rope["theta"] ** (-np.arange(0, dims, 2) / dims)
    if whole:
        f[rotated // 2:] = 0.0
    scaling = rope.get("scaling", {})
    kind = scaling.get("type")
    if kind == "linear":
        return f / scaling["factor"], 1.0
    if kind == "llama3":
        wavelength = 2 * math.pi / f
        old, low, high = scaling["original"], scaling["low"], scaling["high"]
        s = np.clip((old / wavelength - low) / (high - low), 0.0, 1.0)
        return (1 - s) * f / scaling["factor"] + s * f, 1.0
    if kind == "yarn":
        def pair(turns):
            return dims * math.log(scaling["original"] / (turns * 2 * math.pi)) / (
                2 * math.log(rope["theta"]))
        low, high = pair(scaling["beta_fast"]), pair(scaling["beta_slow"])
        if scaling["truncate"]:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, dims - 1)
        ramp = np.clip((np.arange(dims // 2) - low) / (high - low), 0.0, 1.0)
        magnitude = (yarn_mscale(scaling["factor"], scaling["mscale"]) /
                     yarn_mscale(scaling["factor"], scaling["mscale_all"]))
        return f / scaling["factor"] * ramp + f * (1 - ramp), magnitude
    return f, 1.0


def rotate(x, rope, layout=None):
    """x is [tokens, heads, width]; position = row."""
    f, magnitude = rope_table(rope, x.shape[-1])
    angle = np.arange(x.shape[0])[:, None, None] * f
    c, s = np.cos(angle) * magnitude, np.sin(angle) * magnitude
    out = x.copy()
    if (layout or rope["layout"]) == "interleaved":
        first, second = slice(0, 2 * len(f), 2), slice(1, 2 * len(f), 2)
    else:
        first, second = slice(0, len(f)), slice(len(f), 2 * len(f))
    a, b = x[..., first], x[..., second]
    out[..., first], out[..., second] = a * c - b * s, a * s + b * c
    return out


# ---------------------------------------------------------------- token mixers

def visible(tokens, window):
    """True where query i sees key j: i - window < j <= i."""
    i, j = np.arange(tokens)[:, None], np.arange(tokens)[None, :]
    return (j <= i) & ((j > i - window) if window else True)


def grouped_attention(x, m, w, config):
    """Ainslie et al., EMNLP 2023; sinks: openai/gpt-oss sdpa(); gate and QK norm: Qwen3-Next."""
    tokens, heads, kv, d = x.shape[0], m["heads"], m["kv_heads"], m["head_dim"]
    norm = config["norm"]

    def project(name):
        y = x @ w["attention." + name].T
        return y + w[f"attention.{name}_bias"] if m.get("qkv_bias") else y

    q, k = project("query"), project("key")
    gate = None
    if m.get("output_gate"):
        both = q.reshape(tokens, heads, 2, d)
        q, gate = both[:, :, 0], both[:, :, 1]
    v = k.copy() if m.get("keys_are_values") else project("value")
    if m.get("qk_norm") == "all_heads":
        q = rms_norm(q.reshape(tokens, -1), w["attention.query_norm"], norm["epsilon"],
                     norm["one_plus"])
        k = rms_norm(k, w["attention.key_norm"], norm["epsilon"], norm["one_plus"])
    q, k, v = (q.reshape(tokens, heads, d), k.reshape(tokens, kv, d), v.reshape(tokens, kv, d))
    if m.get("qk_norm") == "per_head":
        q = rms_norm(q, w["attention.query_norm"], norm["epsilon"], norm["one_plus"])
        k = rms_norm(k, w["attention.key_norm"], norm["epsilon"], norm["one_plus"])
    if m.get("value_norm"):
        v = rms_norm(v, 1.0, norm["epsilon"])
    if "rope" in m:
        q, k = rotate(q, m["rope"]), rotate(k, m["rope"])
    k, v = np.repeat(k, heads // kv, axis=1), np.repeat(v, heads // kv, axis=1)
    scores = cap(np.einsum("ihd,jhd->hij", q, k) * m.get("scale", d**-0.5), m.get("softcap", 0))
    scores = np.where(visible(tokens, m.get("window", 0)), scores, -np.inf)
    if m.get("sinks"):
        column = np.broadcast_to(w["attention.sinks"][:, None, None], (heads, tokens, 1))
        p = softmax(np.concatenate([scores, column], axis=-1))[..., :-1]
    else:
        p = softmax(scores)
    out = np.einsum("hij,jhd->ihd", p, v)
    if gate is not None:
        out = out * sigmoid(gate)
    out = out.reshape(tokens, -1) @ w["attention.output"].T
    return out + w["attention.output_bias"] if m.get("output_bias") else out


def indexer_mask(x, query_latent, m, w):
    """DeepSeek Sparse Attention: deepseek-ai/DeepSeek-V3.2-Exp inference/model.py, Indexer."""
    tokens, n, d = x.shape[0], m["indexer"]["heads"], m["indexer"]["head_dim"]
    rope = dict(m["rope"], rotated=m["rope_dim"])
    q = rotate((query_latent @ w["indexer.query"].T).reshape(tokens, n, d), rope, "halves")
    k = layer_norm(x @ w["indexer.key"].T, w["indexer.key_norm"], w["indexer.key_norm_bias"], 1e-6)
    k = rotate(k.reshape(tokens, 1, d), rope, "halves")[:, 0]
    weight = x @ w["indexer.head_weights"].T * n**-0.5 * d**-0.5
    score = np.einsum("in,inj->ij", weight, np.maximum(np.einsum("ind,jd->inj", q, k), 0.0))
    mask = np.zeros((tokens, tokens), dtype=bool)
    for i in range(tokens):
        best = np.argsort(-score[i, :i + 1], kind="stable")[:m["indexer"]["top_k"]]
        mask[i, best] = True
    return mask


def latent_attention(x, m, w, config):
    """DeepSeek-V2, arXiv 2405.04434, section 2.1, as multi-head attention (the naive form)."""
    tokens, heads = x.shape[0], m["heads"]
    nope, rot, vd, rank = m["nope_dim"], m["rope_dim"], m["value_dim"], m["kv_rank"]
    norm = config["norm"]
    latent_q = x
    if m["query_rank"]:
        latent_q = rms_norm(x @ w["attention.query_down"].T, w["attention.query_norm"],
                            norm["epsilon"], norm["one_plus"])
    q = (latent_q @ w["attention.query_up"].T).reshape(tokens, heads, nope + rot)
    down = x @ w["attention.kv_down"].T
    c = rms_norm(down[:, :rank], w["attention.kv_norm"], norm["epsilon"], norm["one_plus"])
    k_rot = rotate(down[:, None, rank:], m["rope"])
    q_rot = rotate(q[..., nope:], m["rope"])
    up = (c @ w["attention.kv_up"].T).reshape(tokens, heads, nope + vd)
    scaling = m["rope"].get("scaling", {})
    scale = (nope + rot) ** -0.5
    if scaling.get("type") == "yarn":
        scale *= yarn_mscale(scaling["factor"], scaling["mscale_all"]) ** 2
    scores = (np.einsum("ihd,jhd->hij", q[..., :nope], up[..., :nope]) +
              np.einsum("ihd,jd->hij", q_rot, k_rot[:, 0])) * scale
    mask = visible(tokens, 0)
    if "indexer" in m:
        mask = mask & indexer_mask(x, latent_q, m, w)
    p = softmax(np.where(mask, scores, -np.inf))
    out = np.einsum("hij,jhd->ihd", p, up[..., nope:])
    return out.reshape(tokens, -1) @ w["attention.output"].T


def gated_delta(x, m, w, config):
    """Gated DeltaNet, arXiv 2412.06464, as its recurrence; around it huggingface/transformers
    modular_qwen3_next.py."""
    tokens, kh, vh = x.shape[0], m["key_heads"], m["value_heads"]
    dk, dv, taps = m["key_dim"], m["value_dim"], m["conv_taps"]
    mixed = x @ w["delta.qkv"].T
    padded = np.concatenate([np.zeros((taps - 1, mixed.shape[1])), mixed])
    conv = sum(padded[i:i + tokens] * w["delta.conv"][:, i] for i in range(taps))
    conv = conv * sigmoid(conv)
    q = conv[:, :kh * dk].reshape(tokens, kh, dk)
    k = conv[:, kh * dk:2 * kh * dk].reshape(tokens, kh, dk)
    v = conv[:, 2 * kh * dk:].reshape(tokens, vh, dv)
    q = q / np.sqrt((q**2).sum(-1, keepdims=True) + 1e-6) * dk**-0.5
    k = k / np.sqrt((k**2).sum(-1, keepdims=True) + 1e-6)
    q, k = np.repeat(q, vh // kh, axis=1), np.repeat(k, vh // kh, axis=1)
    beta = sigmoid(x @ w["delta.b"].T)
    rate = np.logaddexp(0.0, x @ w["delta.a"].T + w["delta.dt_bias"])  # softplus
    decay = np.exp(-np.exp(w["delta.a_log"]) * rate)
    state = np.zeros((vh, dk, dv))
    out = np.zeros((tokens, vh, dv))
    for t in range(tokens):
        state = state * decay[t][:, None, None]
        delta = beta[t][:, None] * (v[t] - np.einsum("hkv,hk->hv", state, k[t]))
        state = state + k[t][:, :, None] * delta[:, None, :]
        out[t] = np.einsum("hkv,hk->hv", state, q[t])
    z = (x @ w["delta.z"].T).reshape(tokens, vh, dv)
    out = rms_norm(out, w["delta.norm"], config["norm"]["epsilon"]) * (z * sigmoid(z))
    return out.reshape(tokens, -1) @ w["delta.output"].T


MIXERS = {"grouped": grouped_attention, "latent": latent_attention, "gated_delta": gated_delta}


# ---------------------------------------------------------------- feed-forward

def feed_forward(x, w, prefix, kind, is_gated, expert=None):
    """down(act(gate x) * up x), or down(act(up x)); with biases where there are any."""
    def part(name):
        value = w.get(prefix + name)
        return value if value is None or expert is None else value[expert]

    def project(y, name):
        bias = part(name + "_bias")
        y = y @ part(name).T
        return y if bias is None else y + bias

    up = project(x, "up")
    inner = gated(kind, project(x, "gate"), up) if is_gated else ACTIVATIONS[kind](up)
    return project(inner, "down")


def routes(logits, r, bias):
    """Experts and weights of one token. Rules: Qwen3-MoE; Mixtral and gpt-oss; DeepSeek-V3
    (deepseek-ai/DeepSeek-V3@9b4e978 inference/model.py, Gate) and V2."""
    if r["rule"] == "topk_softmax":
        logits = logits if bias is None else logits + bias
        chosen = np.argsort(-logits, kind="stable")[:r["top_k"]]
        return chosen, softmax(logits[chosen]) * r.get("scale", 1.0)
    if r["rule"] == "sigmoid_bias":
        score = sigmoid(logits)
        choice = score if bias is None else score + bias
    else:
        score = choice = softmax(logits if bias is None else logits + bias)
    groups = r.get("groups", 1)
    if groups > 1:
        table = choice.reshape(groups, -1)
        best = np.sort(table, axis=1)[:, ::-1]
        group_score = best[:, :2].sum(1) if r["group_score"] == "sum_of_top2" else best[:, 0]
        kept = np.argsort(-group_score, kind="stable")[:r["top_groups"]]
        masked = np.full_like(table, -np.inf)
        masked[kept] = table[kept]
        choice = masked.reshape(-1)
    chosen = np.argsort(-choice, kind="stable")[:r["top_k"]]
    weight = score[chosen]
    if r.get("renormalise", True):
        weight = weight / weight.sum()
    return chosen, weight * r.get("scale", 1.0)


def experts(x, router_input, ffn, w, config):
    """x: what the experts see. Router norm and expert scale: Gemma 4 (ml-explore/mlx-lm
    mlx_lm/models/gemma4_text.py, Router)."""
    e = ffn["experts"]
    seen = x
    if e.get("router_norm"):
        seen = rms_norm(router_input, w["experts.router_norm"], config["norm"]["epsilon"])
        seen = seen * router_input.shape[-1] ** -0.5
    logits = seen @ w["experts.router"].T
    out = np.zeros_like(x)
    for t in range(x.shape[0]):
        chosen, weight = routes(logits[t], e["router"], w.get("experts.router_bias"))
        for index, factor in zip(chosen, weight):
            factor = factor * w["experts.scale"][index] if e.get("expert_scale") else factor
            out[t] += factor * feed_forward(x[t], w, "experts.", ffn["activation"], ffn["gated"],
                                            index)
    if e.get("shared"):
        shared = feed_forward(x, w, "shared.", ffn["activation"], ffn["gated"])
        out += shared * sigmoid(x @ w["shared.switch"].T) if e.get("shared_gate") else shared
    return out


# ---------------------------------------------------------------- the decoder

class Decoder:
    def __init__(self, config, weights):
        self.config, self.weights = config, weights

    def below(self, prefix):
        return {k[len(prefix):]: v for k, v in self.weights.items() if k.startswith(prefix)}

    def norm(self, x, w, name):
        n = self.config["norm"]
        if n["kind"] == "layer":
            return layer_norm(x, w[name], w[name + "_bias"], n["epsilon"])
        return rms_norm(x, w[name], n["epsilon"], n["one_plus"])

    def layer(self, x, kind, w):
        ffn, post = kind["ffn"], kind.get("post_norms", False)
        y = MIXERS[kind["mixer"]["type"]](self.norm(x, w, "attention_norm"), kind["mixer"], w,
                                          self.config)
        x = x + (self.norm(y, w, "attention_post_norm") if post else y)
        seen = self.norm(x, w, "ffn_norm")
        dense, has_experts = ffn.get("intermediate", 0) > 0, "experts" in ffn
        if dense:
            y = feed_forward(seen, w, "ffn.", ffn["activation"], ffn["gated"])
        if dense and has_experts:
            other = experts(self.norm(x, w, "experts.norm"), x, ffn, w, self.config)
            y = self.norm(y, w, "ffn.post_norm") + self.norm(other, w, "experts.post_norm")
        elif has_experts:
            y = experts(seen, x, ffn, w, self.config)
        return x + (self.norm(y, w, "ffn_post_norm") if post else y)

    def embed(self, tokens):
        return self.weights["embedding"][tokens] * self.config.get("embedding_scale", 1.0)

    def head(self, hidden):
        table = self.weights["embedding" if self.config.get("tied") else "head"]
        return cap(hidden @ table.T, self.config.get("final_softcap", 0))

    def forward(self, tokens):
        """(logits, hidden states after the final norm), one row per token."""
        x = self.embed(tokens)
        if self.config.get("learned_positions"):
            x = x + self.weights["positions"][:len(tokens)]
        for i, name in enumerate(self.config["layers"]):
            x = self.layer(x, self.config["kinds"][name], self.below(f"layers.{i}."))
        hidden = self.norm(x, self.weights, "final_norm")
        return self.head(hidden), hidden

    def draft(self, hidden, next_tokens, module=0):
        """Multi-token prediction: DeepSeek-V3, arXiv 2412.19437, section 2.2; the embedding's half
        comes first, as in published weights (vllm-project/vllm deepseek_mtp.py). Row i pairs the
        hidden state of token i with token i + 1."""
        w = self.below(f"mtp.{module}.")
        both = np.concatenate([self.norm(self.embed(next_tokens), w, "embedding_norm"),
                               self.norm(hidden, w, "hidden_norm")], axis=-1)
        x = self.layer(both @ w["combine"].T, self.config["kinds"][self.config["mtp"]["kind"]], w)
        return self.head(self.norm(x, w, "final_norm"))


# ---------------------------------------------------------------- weights

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


# ---------------------------------------------------------------- goldens

def derive(golden):
    """The computed parts of a golden."""
    config, prompt = golden["config"], np.array(golden["prompt"])
    model = Decoder(config, seeded_weights(config))
    logits, hidden = model.forward(prompt)
    result = {"logits": logits}
    if config.get("mtp", {}).get("modules", 0):
        result["draft_logits"] = model.draft(hidden[:-1], prompt[1:])
    return result


def digits(rows):
    return [[float(f"{value:.9g}") for value in row] for row in rows]


def render(golden):
    """Short and readable: one line per row of numbers."""
    lines = []
    for key, value in golden.items():
        if key in ("logits", "draft_logits"):
            rows = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f' "{key}": [\n  {rows}\n ]')
        elif key == "prompt":
            lines.append(f' "{key}": {json.dumps(value)}')
        else:
            lines.append(f' "{key}": {json.dumps(value, indent=1)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def update(paths):
    for path in map(pathlib.Path, paths):
        golden = json.loads(path.read_text())
        golden["command"] = f"scripts/oracle.py --update tests/lower/golden/{path.name}"
        for key, rows in derive(golden).items():
            golden[key] = digits(rows)
        path.write_text(render(golden))
    return 0


def check(paths):
    failed = 0
    for path in paths or sorted(GOLDENS.glob("*.json")):
        golden = json.loads(pathlib.Path(path).read_text())
        worst = 0.0
        for key, rows in derive(golden).items():
            stored = np.array(golden[key])
            worst = max(worst, np.abs(stored - rows).max() / np.abs(rows).max())
        is_good = worst < 1e-8  # nine digits are stored
        failed += not is_good
        print(f"{pathlib.Path(path).name}: {'equal' if is_good else 'DIFFERS'}, {worst:.1e}")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--model", help="a JSON with the network, bare or under 'config'")
    parser.add_argument("--weights", help="safetensors with our tensor names; default: seeded")
    parser.add_argument("--tokens", help="comma-separated")
    options = parser.parse_args()
    if options.check:
        return check(options.files)
    if options.update:
        return update(options.files)
    if not options.model or not options.tokens:
        parser.error("--model and --tokens, or --check, or --update")
    config = json.loads(pathlib.Path(options.model).read_text())
    config = config.get("config", config)
    weights = read_safetensors(options.weights) if options.weights else seeded_weights(config)
    tokens = np.array([int(t) for t in options.tokens.split(",")])
    json.dump({"logits": Decoder(config, weights).forward(tokens)[0].tolist()}, sys.stdout)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
