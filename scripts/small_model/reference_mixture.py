"""Feed-forward blocks of published families in NumPy fp32, written from the formulas and apart from PyTorch.

x is (tokens, hidden); weights are those of one layer by stored name.
"""

import numpy as np

from .networks import is_latent
from .reference import silu, softmax
from .reference_mixers import sigmoid


def gated_block(x, gate, up, down):
    """down(silu(gate x) * up x)."""
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T


def named_block(x, weights, prefix):
    """The gated block whose projections stand under a prefix."""
    return gated_block(x, *(weights[f"{prefix}{name}_proj.weight"] for name in ("gate", "up", "down")))


def mixture(x, weights, config):
    """Routed experts and the shared one, which Qwen's family weights by a gate."""
    if is_latent(config):
        return routed(x, weights, sigmoid_choice(x, weights, config)) + named_block(x, weights, "mlp.shared_experts.")
    switch = sigmoid(x @ weights["mlp.shared_expert_gate.weight"].T)
    return routed(x, weights, softmax_choice(x, weights, config)) + switch * named_block(
        x, weights, "mlp.shared_expert.")


def softmax_choice(x, weights, config):
    """Each token's weight of every expert, 0 for those not taken: softmax, the largest, divided by their sum."""
    likelihoods = softmax(x @ weights["mlp.gate.weight"].T)
    kept = np.where(largest(likelihoods, config["num_experts_per_tok"]), likelihoods, np.float32(0))
    return kept / kept.sum(axis=-1, keepdims=True)


def sigmoid_choice(x, weights, config):
    """The same for DeepSeek-V3: biases only choose, first groups and then experts (arXiv 2412.19437, section 2.1.2)."""
    scores = sigmoid(x @ weights["mlp.gate.weight"].T)
    preference = scores + weights["mlp.gate.e_score_correction_bias"]
    if config["n_group"] > 1:
        table = preference.reshape(len(x), config["n_group"], -1)
        two_best = np.sort(table, axis=-1)[..., -2:].sum(axis=-1)
        table = np.where(largest(two_best, config["topk_group"])[..., None], table, np.float32(-np.inf))
        preference = table.reshape(len(x), -1)
    kept = np.where(largest(preference, config["num_experts_per_tok"]), scores, np.float32(0))
    return kept / kept.sum(axis=-1, keepdims=True) * np.float32(config["routed_scaling_factor"])


def largest(values, count):
    """True for the largest of each row; the first wins a tie."""
    order = np.argsort(-values, axis=-1, kind="stable")[:, :count]
    chosen = np.zeros(values.shape, bool)
    np.put_along_axis(chosen, order, True, axis=-1)
    return chosen


def routed(x, weights, shares):
    """What the experts add; shares are (tokens, experts)."""
    out = np.zeros_like(x)
    for expert in np.flatnonzero(shares.any(axis=0)):
        tokens = np.flatnonzero(shares[:, expert])
        out[tokens] += shares[tokens, expert][:, None] * gated_block(x[tokens], *expert_matrices(weights, expert))
    return out


def expert_matrices(weights, expert):
    """Gate, up and down of one expert, from a stack or from tensors of its own."""
    if "mlp.experts.down_proj" not in weights:
        return (weights[f"mlp.experts.{expert}.{name}_proj.weight"] for name in ("gate", "up", "down"))
    gate, up = np.split(weights["mlp.experts.gate_up_proj"][expert], 2)
    return gate, up, weights["mlp.experts.down_proj"][expert]
