"""Training: token mixers of whole sequences in PyTorch. x is (rows, positions, hidden)."""

import math

import torch
from torch.nn import functional

CHUNK = 64
L2_EPSILON = 1e-6


def rms_norm(x, weight, epsilon):
    """Root-mean-square normalisation over the last axis."""
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


def angles(positions, width, theta):
    """Rotary angles: one row per position, one column per pair."""
    frequencies = theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.outer(torch.arange(positions, dtype=torch.float64), frequencies)


def rotated_halves(x, width, theta):
    """Rotate the first ``width`` channels, element i with i + width / 2; x is (rows, heads, positions, channels)."""
    turns = angles(x.shape[-2], width, theta)
    cosines, sines = turns.cos().float(), turns.sin().float()
    first, second, rest = x.split([width // 2, width // 2, x.shape[-1] - width], dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines, rest), dim=-1)


def rotated_neighbours(x, theta):
    """Rotate all channels, element 2i with 2i + 1; x is (..., positions, channels)."""
    turns = angles(x.shape[-2], x.shape[-1], theta)
    cosines, sines = turns.cos().float(), turns.sin().float()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1).flatten(-2)


def causal_mix(queries, keys, values):
    """Softmax attention of (rows, heads, positions, channels) to what lies before; scaled by the query's width."""
    length = queries.shape[-2]
    future = torch.full((length, length), -math.inf).triu(1)
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2) + future
    return torch.softmax(scores, dim=-1) @ values


def grouped_attention(x, weights, config):
    """Grouped-query attention with norms of query and key heads, partial rotation and an output gate."""
    epsilon, rope = config["rms_norm_eps"], config["rope_parameters"]
    width = config["head_dim"]
    turning = int(width * rope["partial_rotary_factor"])
    both = functional.linear(x, weights["self_attn.q_proj.weight"]).unflatten(-1, (-1, 2 * width))
    queries, gate = both.split(width, dim=-1)
    keys = functional.linear(x, weights["self_attn.k_proj.weight"]).unflatten(-1, (-1, width))
    values = functional.linear(x, weights["self_attn.v_proj.weight"]).unflatten(-1, (-1, width))
    queries = rms_norm(queries, 1 + weights["self_attn.q_norm.weight"], epsilon).transpose(1, 2)
    keys = rms_norm(keys, 1 + weights["self_attn.k_norm.weight"], epsilon).transpose(1, 2)
    shared_by = config["num_attention_heads"] // config["num_key_value_heads"]
    keys = rotated_halves(keys, turning, rope["rope_theta"]).repeat_interleave(shared_by, dim=1)
    values = values.transpose(1, 2).repeat_interleave(shared_by, dim=1)
    mixed = causal_mix(rotated_halves(queries, turning, rope["rope_theta"]), keys, values)
    mixed = mixed.transpose(1, 2).flatten(-2) * torch.sigmoid(gate.flatten(-2))
    return functional.linear(mixed, weights["self_attn.o_proj.weight"])


def latent_attention(x, weights, config):
    """Multi-head latent attention in its naive form (DeepSeek-V2, arXiv 2405.04434, section 2.1)."""
    epsilon, theta = config["rms_norm_eps"], config["rope_theta"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    latent = functional.linear(x, weights["self_attn.q_a_proj.weight"])
    latent = rms_norm(latent, weights["self_attn.q_a_layernorm.weight"], epsilon)
    queries = functional.linear(latent, weights["self_attn.q_b_proj.weight"]).unflatten(-1, (-1, nope + rope))
    queries, turning = queries.transpose(1, 2).split([nope, rope], dim=-1)
    down = functional.linear(x, weights["self_attn.kv_a_proj_with_mqa.weight"])
    latent, key = down.split([config["kv_lora_rank"], rope], dim=-1)
    latent = rms_norm(latent, weights["self_attn.kv_a_layernorm.weight"], epsilon)
    up = functional.linear(latent, weights["self_attn.kv_b_proj.weight"]).unflatten(-1, (-1, nope + value))
    keys, values = up.transpose(1, 2).split([nope, value], dim=-1)
    key = rotated_neighbours(key, theta)[:, None].expand(-1, keys.shape[1], -1, -1)
    queries = torch.cat((queries, rotated_neighbours(turning, theta)), dim=-1)
    mixed = causal_mix(queries, torch.cat((keys, key), dim=-1), values)
    return functional.linear(mixed.transpose(1, 2).flatten(-2), weights["self_attn.o_proj.weight"])


def gated_delta(x, weights, config):
    """Gated DeltaNet (arXiv 2412.06464); what surrounds it as in huggingface/transformers modular_qwen3_next.py."""
    length, key_heads = x.shape[1], config["linear_num_key_heads"]
    key_dim, value_dim = config["linear_key_head_dim"], config["linear_value_head_dim"]
    conv = weights["linear_attn.conv1d.weight"]
    mixed = functional.linear(x, weights["linear_attn.in_proj_qkv.weight"]).transpose(1, 2)
    mixed = functional.conv1d(mixed, conv, padding=conv.shape[-1] - 1, groups=len(conv))[..., :length]
    mixed = functional.silu(mixed).transpose(1, 2)
    queries, keys, values = mixed.split([key_heads * key_dim] * 2 + [mixed.shape[-1] - 2 * key_heads * key_dim], dim=-1)
    values = values.unflatten(-1, (-1, value_dim)).transpose(1, 2)
    shared_by = values.shape[1] // key_heads
    queries = unit_heads(queries, key_dim, shared_by) * key_dim ** -0.5
    keys = unit_heads(keys, key_dim, shared_by)
    beta = torch.sigmoid(functional.linear(x, weights["linear_attn.in_proj_b.weight"])).transpose(1, 2)
    rate = functional.linear(x, weights["linear_attn.in_proj_a.weight"]) + weights["linear_attn.dt_bias"]
    decay = (-weights["linear_attn.A_log"].exp() * functional.softplus(rate)).transpose(1, 2)
    out = chunked_delta(queries, keys, values, beta, decay).transpose(1, 2)
    gate = functional.linear(x, weights["linear_attn.in_proj_z.weight"]).unflatten(-1, (-1, value_dim))
    out = rms_norm(out, weights["linear_attn.norm.weight"], config["rms_norm_eps"]) * functional.silu(gate)
    return functional.linear(out.flatten(-2), weights["linear_attn.out_proj.weight"])


def unit_heads(x, width, shared_by):
    """Heads of unit length, (rows, heads, positions, width), each for so many value heads."""
    heads = x.unflatten(-1, (-1, width)).transpose(1, 2)
    heads = heads * torch.rsqrt(heads.pow(2).sum(-1, keepdim=True) + L2_EPSILON)
    return heads.repeat_interleave(shared_by, dim=1)


def chunked_delta(queries, keys, values, beta, decay):
    """The gated delta rule by chunks (Gated Delta Networks, arXiv 2412.06464, section 3.3).

    All are (rows, heads, positions, channels), beta and the logarithm of the decay
    without channels. Within a chunk, A_ij = beta_i (k_i . k_j) e^(G_i - G_j) for
    j < i gives T = (I + A)^-1, U = T beta v, W = T beta e^G k, where G sums the
    decays; between chunks the state moves on.
    """
    length = queries.shape[2]
    short = -length % CHUNK
    queries, keys, values = (functional.pad(part, (0, 0, 0, short)).unflatten(2, (-1, CHUNK))
                             for part in (queries, keys, values))
    beta, decay = (functional.pad(part, (0, short)).unflatten(2, (-1, CHUNK)) for part in (beta, decay))
    total = decay.cumsum(-1)
    upper = torch.ones(CHUNK, CHUNK, dtype=torch.bool).triu(1)
    fading = (total[..., :, None] - total[..., None, :]).masked_fill(upper, -math.inf).exp()
    weighted = keys * beta[..., None]
    lower = ((weighted @ keys.transpose(-1, -2)) * fading).tril(-1) + torch.eye(CHUNK)
    known = torch.cat((values * beta[..., None], weighted * total.exp()[..., None]), dim=-1)
    solved = torch.linalg.solve_triangular(lower, known, upper=False, unitriangular=True)
    fresh, through = solved.split([values.shape[-1], keys.shape[-1]], dim=-1)
    scores = (queries @ keys.transpose(-1, -2)) * fading
    queries = queries * total.exp()[..., None]
    remembered = (keys * (total[..., -1:] - total).exp()[..., None]).transpose(-1, -2)
    kept = total[..., -1].exp()[..., None, None]
    state = torch.zeros(*queries.shape[:2], keys.shape[-1], values.shape[-1])
    outputs = []
    for chunk in range(queries.shape[2]):
        written = fresh[:, :, chunk] - through[:, :, chunk] @ state
        outputs.append(queries[:, :, chunk] @ state + scores[:, :, chunk] @ written)
        state = kept[:, :, chunk] * state + remembered[:, :, chunk] @ written
    return torch.stack(outputs, dim=2).flatten(2, 3)[:, :, :length]
