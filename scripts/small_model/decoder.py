"""Training: decoders of the families of Qwen3.5 and DeepSeek-V3 in PyTorch, with their losses."""

import math

import torch
from torch.nn import functional

from .mixers import gated_delta, grouped_attention, latent_attention, rms_norm
from .mixture import Routing, gated_block, mixture
from .networks import has_experts, has_module, has_recurrence, is_latent, layer_prefixes, module_prefix, module_tensors
from .tensor_shapes import tensor_shapes

MODULE_LOSS_WEIGHT = 0.3  # DeepSeek-V3, arXiv 2412.19437, section 4.2
IMBALANCE_LOSS_WEIGHT = 0.01
BIAS_SPEED = 0.001  # of a sigmoid router's biases: DeepSeek-V3, section 4.2


class Below:
    """The weights whose names begin with a prefix, by what follows it."""

    def __init__(self, weights, prefix):
        self.weights, self.prefix = weights, prefix

    def __getitem__(self, name):
        return self.weights[self.prefix + name]


class Decoder(torch.nn.Module):
    """A decoder whose parameters are those of ``tensor_shapes``, with "/" for "." in their names."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tensors = {}
        for name, shape in tensor_shapes(config).items():
            parameter = torch.nn.Parameter(initial_weight(name, shape, config))
            parameter.requires_grad_(not is_router_bias(name))
            self.register_parameter(name.replace(".", "/"), parameter)
            self.tensors[name] = parameter
        self.routings = {}

    def forward(self, tokens):
        """Logits after every token, and the normalised hidden states; tokens are (rows, positions)."""
        x = functional.embedding(tokens, self.tensors["model.embed_tokens.weight"])
        for prefix in layer_prefixes(self.config):
            x = self.layer(x, prefix)
        hidden = self.norm(x, self.tensors["model.norm.weight"])
        return self.head(hidden), hidden

    def draft(self, hidden, next_tokens):
        """The module's logits for the token after next (DeepSeek-V3, arXiv 2412.19437, section 2.2)."""
        embedding_norm, hidden_norm, combine, final_norm = (self.tensors[n] for n in module_tensors(self.config))
        embedded = functional.embedding(next_tokens, self.tensors["model.embed_tokens.weight"])
        both = torch.cat((self.norm(embedded, embedding_norm), self.norm(hidden, hidden_norm)), dim=-1)
        x = self.layer(functional.linear(both, combine), module_prefix(self.config))
        return self.head(self.norm(x, final_norm))

    def head(self, hidden):
        """Logits of normalised hidden states."""
        return functional.linear(hidden, self.tensors["lm_head.weight"])

    def norm(self, x, weight):
        """The family's RMSNorm; Qwen's stores weights as their distance from 1."""
        gain = weight if is_latent(self.config) else 1 + weight
        return rms_norm(x, gain, self.config["rms_norm_eps"])

    def layer(self, x, prefix):
        """One layer: token mixer and feed-forward block, each added to the stream."""
        config, weights = self.config, Below(self.tensors, prefix)
        if has_recurrence(config, prefix):
            mixer = gated_delta
        else:
            mixer = latent_attention if is_latent(config) else grouped_attention
        x = x + mixer(self.norm(x, weights["input_layernorm.weight"]), weights, config)
        seen = self.norm(x, weights["post_attention_layernorm.weight"])
        if not has_experts(config, prefix):
            return x + gated_block(seen, weights, "mlp.")
        tokens = seen.flatten(0, 1)
        routing = self.routings[prefix] = Routing(tokens, weights, config)
        return x + mixture(tokens, routing, weights, config).view_as(x)

    def losses(self, batch):
        """The loss to minimise and that of the next token; batch is (rows, positions + 1)."""
        logits, hidden = self.forward(batch[:, :-1])
        predicting = loss = cross_entropy(logits, batch[:, 1:])
        if has_module(self.config):
            drafts = self.draft(hidden[:, :-1], batch[:, 1:-1])
            loss = loss + MODULE_LOSS_WEIGHT * cross_entropy(drafts, batch[:, 2:])
        imbalance = sum(routing.imbalance for routing in self.routings.values())
        return loss + IMBALANCE_LOSS_WEIGHT * imbalance, predicting

    @torch.no_grad()
    def after_step(self):
        """Move the biases of sigmoid routers towards even loads (DeepSeek-V3, section 2.1.2)."""
        for prefix, routing in self.routings.items():
            name = prefix + "mlp.gate.e_score_correction_bias"
            if name in self.tensors:
                loads = routing.loads.float()
                self.tensors[name] += BIAS_SPEED * torch.sign(loads.mean() - loads)

    def parameter_groups(self, weight_decay):
        """Parameters for the optimiser: matrices decay, vectors do not, router biases are none of them."""
        trained = [tensor for tensor in self.tensors.values() if tensor.requires_grad]
        return [{"params": [tensor for tensor in trained if tensor.dim() > 1], "weight_decay": weight_decay},
                {"params": [tensor for tensor in trained if tensor.dim() == 1], "weight_decay": 0.0}]

    def weights(self):
        """The parameters as NumPy arrays, by stored name."""
        return {name: tensor.detach().numpy() for name, tensor in self.tensors.items()}


def cross_entropy(logits, targets):
    """The mean negative log-likelihood of the targets."""
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def is_router_bias(name):
    """Whether a tensor is moved by loads instead of gradients."""
    return name.endswith("e_score_correction_bias")


def initial_weight(name, shape, config):
    """Small normal noise for matrices, smaller where a block joins the stream; neutral vectors.

    Decays start as in state-spaces/mamba mamba_ssm/modules/mamba2.py: rates of 1 to
    16 times steps of 0.001 to 0.1.
    """
    if name.endswith("A_log"):
        return torch.empty(shape).uniform_(1, 16).log()
    if name.endswith("dt_bias"):
        steps = torch.exp(torch.empty(shape).uniform_(math.log(0.001), math.log(0.1)))
        return steps + torch.log(-torch.expm1(-steps))
    if len(shape) == 1:
        plain = is_latent(config) or name.endswith("linear_attn.norm.weight")
        return torch.ones(shape) if plain and not is_router_bias(name) else torch.zeros(shape)
    spread = 0.02 if name in ("model.embed_tokens.weight", "lm_head.weight") else shape[-1] ** -0.5
    if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight", "experts.down_proj")):
        spread /= math.sqrt(2 * config["num_hidden_layers"])
    return torch.randn(shape) * spread
