"""Training: feed-forward blocks and mixtures of experts in PyTorch. x is (tokens, hidden)."""

import torch
from torch.nn import functional

from .networks import is_latent


def gated_block(x, weights, prefix):
    """down(silu(gate x) * up x)."""
    gate = functional.silu(functional.linear(x, weights[prefix + "gate_proj.weight"]))
    return functional.linear(gate * functional.linear(x, weights[prefix + "up_proj.weight"]),
                             weights[prefix + "down_proj.weight"])


class Routing:
    """Which experts the tokens of a batch take, and with which weights.

    ``chosen`` and ``shares`` are (tokens, top k); ``loads`` counts the choices of
    every expert; ``imbalance`` is the loss that evens out a softmax router, 1 where
    all experts are alike (Switch Transformers, arXiv 2101.03961, equation 4).
    """

    def __init__(self, x, weights, config):
        logits = functional.linear(x, weights["mlp.gate.weight"])
        self.imbalance = torch.zeros(())
        if is_latent(config):
            self._by_sigmoid(torch.sigmoid(logits), weights["mlp.gate.e_score_correction_bias"], config)
        else:
            self._by_softmax(torch.softmax(logits, dim=-1), config)

    def _by_softmax(self, likelihoods, config):
        shares, self.chosen = likelihoods.topk(config["num_experts_per_tok"], dim=-1)
        self.shares = shares / shares.sum(-1, keepdim=True)
        count = likelihoods.shape[1]
        self.loads = torch.bincount(self.chosen.flatten(), minlength=count)
        self.imbalance = count * (self.loads / self.chosen.numel() * likelihoods.mean(0)).sum()

    def _by_sigmoid(self, scores, bias, config):
        with torch.no_grad():
            preference = within_best_groups(scores + bias, config["n_group"], config["topk_group"])
            self.chosen = preference.topk(config["num_experts_per_tok"], dim=-1).indices
        shares = scores.gather(1, self.chosen)
        self.shares = shares / shares.sum(-1, keepdim=True) * config["routed_scaling_factor"]
        self.loads = torch.bincount(self.chosen.flatten(), minlength=scores.shape[1])


def within_best_groups(preference, groups, kept):
    """Preferences, minus infinity outside the groups whose two best experts add up to most."""
    if groups == 1:
        return preference
    table = preference.unflatten(-1, (groups, -1))
    best = table.topk(2, dim=-1).values.sum(-1).topk(kept, dim=-1).indices
    outside = torch.ones(table.shape[:-1], dtype=torch.bool).scatter(1, best, False)
    return table.masked_fill(outside[..., None], -torch.inf).flatten(-2)


def routed_experts(x, routing, weights):
    """What the chosen experts add; each expert sees its tokens as one block, padded to the longest."""
    gate_up, down = weights["mlp.experts.gate_up_proj"], weights["mlp.experts.down_proj"]
    experts, top_k = routing.chosen.flatten(), routing.chosen.shape[1]
    order = torch.argsort(experts, stable=True)
    longest = int(routing.loads.max())
    starts = routing.loads.cumsum(0) - routing.loads
    sorted_experts = experts[order]
    slots = sorted_experts * longest + torch.arange(len(order)) - starts[sorted_experts]
    slot_of_choice = torch.empty_like(slots).scatter(0, order, slots)
    blocks = x.new_zeros(len(down) * longest, x.shape[1])
    blocks = blocks.index_copy(0, slots, x.index_select(0, order // top_k))
    gate, up = (blocks.unflatten(0, (len(down), longest)) @ gate_up.transpose(1, 2)).chunk(2, dim=-1)
    results = ((functional.silu(gate) * up) @ down.transpose(1, 2)).flatten(0, 1)
    picked = results.index_select(0, slot_of_choice).unflatten(0, (-1, top_k))
    return (picked * routing.shares[..., None]).sum(1)


def mixture(x, routing, weights, config):
    """Routed experts and the shared one, which Qwen's family weights by a gate."""
    routed = routed_experts(x, routing, weights)
    if is_latent(config):
        return routed + gated_block(x, weights, "mlp.shared_experts.")
    switch = torch.sigmoid(functional.linear(x, weights["mlp.shared_expert_gate.weight"]))
    return routed + switch * gated_block(x, weights, "mlp.shared_expert.")
