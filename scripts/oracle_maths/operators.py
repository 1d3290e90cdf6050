"""Operators of decoders in float64, from the papers' formulas; every function sees whole sequences."""
import math

import numpy as np


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
        high += 0.001 if low == high else 0  # as the published code avoids a division by zero
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
