"""Token mixers of published families in NumPy fp32, written from the formulas and apart from PyTorch.

Each takes x, (tokens, hidden), the weights of its layer by stored name, the
config.json, and the layer's state: a dictionary, empty before the first token,
that it extends. What it returns is added to the stream.
"""

import numpy as np

from .reference import rotated, silu, softmax

L2_EPSILON = np.float32(1e-6)


def rms_norm(x, gain, epsilon):
    """Root-mean-square normalisation over the last axis."""
    return gain * (x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(epsilon)))


def sigmoid(x):
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


def turns(start, count, width, theta):
    """Cosines and sines of the rotary angles of so many positions, one column per pair."""
    frequencies = theta ** -(np.arange(0, width, 2, dtype=np.float64) / width)
    angles = np.outer(np.arange(start, start + count, dtype=np.float64), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotated_by_halves(x, cosines, sines):
    """Rotate the first channels of each head, i with i + half; x is (tokens, heads, channels)."""
    half = cosines.shape[1]
    cosines, sines = cosines[:, None, :], sines[:, None, :]
    first, second = x[..., :half], x[..., half:2 * half]
    return np.concatenate(
        (first * cosines - second * sines, second * cosines + first * sines, x[..., 2 * half:]), axis=-1)


def appended(state, name, rows):
    """The rows kept under a name with new ones after them, which are kept too."""
    state[name] = np.concatenate((state[name], rows)) if name in state else rows
    return state[name]


def attention_shares(scores):
    """Softmax of scores, (heads, new tokens, all tokens), over what is not in a query's future."""
    new, everything = scores.shape[-2:]
    in_future = np.arange(everything)[None, :] > np.arange(everything - new, everything)[:, None]
    return softmax(np.where(in_future, np.float32(-np.inf), scores))


def grouped_attention(x, weights, config, state):
    """Qwen3-Next's attention: queries with a gate, norms per head, rotation of a part (Qwen3-Next, modeling code)."""
    width, rope = config["head_dim"], config["rope_parameters"]
    epsilon = config["rms_norm_eps"]
    both = (x @ weights["self_attn.q_proj.weight"].T).reshape(len(x), -1, 2, width)
    queries, gate = both[:, :, 0], both[:, :, 1]
    keys = (x @ weights["self_attn.k_proj.weight"].T).reshape(len(x), -1, width)
    values = (x @ weights["self_attn.v_proj.weight"].T).reshape(len(x), -1, width)
    start = len(state.get("keys", ()))
    table = turns(start, len(x), int(width * rope["partial_rotary_factor"]), rope["rope_theta"])
    queries = rotated_by_halves(rms_norm(queries, 1 + weights["self_attn.q_norm.weight"], epsilon), *table)
    keys = rotated_by_halves(rms_norm(keys, 1 + weights["self_attn.k_norm.weight"], epsilon), *table)
    shared_by = queries.shape[1] // keys.shape[1]
    keys = np.repeat(appended(state, "keys", keys), shared_by, axis=1)
    values = np.repeat(appended(state, "values", values), shared_by, axis=1)
    scores = queries.transpose(1, 0, 2) @ keys.transpose(1, 2, 0) / np.sqrt(np.float32(width))
    mixed = (attention_shares(scores) @ values.transpose(1, 0, 2)).transpose(1, 0, 2) * sigmoid(gate)
    return mixed.reshape(len(x), -1) @ weights["self_attn.o_proj.weight"].T


def latent_attention(x, weights, config, state):
    """Multi-head latent attention in its absorbed form, on latents (DeepSeek-V2, arXiv 2405.04434, section 2.1)."""
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    rank, epsilon = config["kv_lora_rank"], config["rms_norm_eps"]
    latent = rms_norm(x @ weights["self_attn.q_a_proj.weight"].T, weights["self_attn.q_a_layernorm.weight"], epsilon)
    queries = (latent @ weights["self_attn.q_b_proj.weight"].T).reshape(len(x), -1, nope + rope)
    down = x @ weights["self_attn.kv_a_proj_with_mqa.weight"].T
    table = turns(len(state.get("latents", ())), len(x), rope, config["rope_theta"])
    latents = appended(state, "latents", rms_norm(down[:, :rank], weights["self_attn.kv_a_layernorm.weight"], epsilon))
    keys = appended(state, "keys", rotated(down[:, None, rank:], *table)[:, 0])
    up = weights["self_attn.kv_b_proj.weight"].reshape(-1, nope + value, rank)
    seeking = queries[..., :nope].transpose(1, 0, 2) @ up[:, :nope]
    turning = rotated(queries[..., nope:], *table).transpose(1, 0, 2)
    scores = (seeking @ latents.T + turning @ keys.T) / np.sqrt(np.float32(nope + rope))
    mixed = attention_shares(scores) @ latents @ up[:, nope:].transpose(0, 2, 1)
    return mixed.transpose(1, 0, 2).reshape(len(x), -1) @ weights["self_attn.o_proj.weight"].T


def gated_delta(x, weights, config, state):
    """Gated DeltaNet as its recurrence (arXiv 2412.06464, equation 10), with Qwen3.5's projections."""
    heads, key_heads = config["linear_num_value_heads"], config["linear_num_key_heads"]
    key_dim, value_dim = config["linear_key_head_dim"], config["linear_value_head_dim"]
    mixed = short_convolution(x @ weights["linear_attn.in_proj_qkv.weight"].T,
                              weights["linear_attn.conv1d.weight"][:, 0], state)
    queries, keys, values = np.split(mixed, [key_heads * key_dim, 2 * key_heads * key_dim], axis=-1)
    queries = unit_length(queries.reshape(len(x), key_heads, key_dim)) / np.sqrt(np.float32(key_dim))
    keys = unit_length(keys.reshape(len(x), key_heads, key_dim))
    queries, keys = (np.repeat(part, heads // key_heads, axis=1) for part in (queries, keys))
    values = values.reshape(len(x), heads, value_dim)
    beta = sigmoid(x @ weights["linear_attn.in_proj_b.weight"].T)
    steps = np.logaddexp(np.float32(0), x @ weights["linear_attn.in_proj_a.weight"].T + weights["linear_attn.dt_bias"])
    decay = np.exp(-np.exp(weights["linear_attn.A_log"]) * steps)
    memory = state.get("memory", np.zeros((heads, value_dim, key_dim), np.float32))
    out = np.empty_like(values)
    for token in range(len(x)):
        key, query = keys[token][:, :, None], queries[token][:, :, None]
        memory = memory * decay[token][:, None, None]
        surprise = beta[token][:, None] * (values[token] - (memory @ key)[..., 0])
        memory = memory + surprise[:, :, None] * key.transpose(0, 2, 1)
        out[token] = (memory @ query)[..., 0]
    state["memory"] = memory
    gate = silu(x @ weights["linear_attn.in_proj_z.weight"].T).reshape(out.shape)
    out = rms_norm(out, weights["linear_attn.norm.weight"], config["rms_norm_eps"]) * gate
    return out.reshape(len(x), -1) @ weights["linear_attn.out_proj.weight"].T


def short_convolution(x, taps, state):
    """Each channel's own causal convolution, then SiLU; the state keeps the last inputs."""
    count = taps.shape[1]
    before = state.get("inputs", np.zeros((count - 1, x.shape[1]), np.float32))
    padded = np.concatenate((before, x))
    state["inputs"] = padded[len(padded) - count + 1:]
    return silu(sum(padded[tap:tap + len(x)] * taps[:, tap] for tap in range(count)))


def unit_length(x):
    """Each head divided by its length."""
    return x / np.sqrt((x * x).sum(axis=-1, keepdims=True) + L2_EPSILON)
