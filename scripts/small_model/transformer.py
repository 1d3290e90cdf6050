"""Training: Little Tales in PyTorch."""

import math

import torch
from torch.nn import functional

from .checkpoint import rotation_tables

RMS_EPSILON = 1e-5


def rms_norm(x, gain):
    """Root-mean-square normalisation over the last axis."""
    return gain * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + RMS_EPSILON)


class Transformer(torch.nn.Module):
    """A Llama-style decoder whose parameters carry the checkpoint's names and shapes."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        for name, shape in config.weight_shapes().items():
            self.register_parameter(name, torch.nn.Parameter(initial_weight(name, shape, config)))
        cosines, sines = rotation_tables(config)
        self.register_buffer("cosines", torch.from_numpy(cosines)[:, None, :])
        self.register_buffer("sines", torch.from_numpy(sines)[:, None, :])
        future = torch.full((config.seq_len, config.seq_len), -math.inf).triu(1)
        self.register_buffer("future", future)

    def forward(self, tokens):
        """Logits after every token; tokens are (rows, positions)."""
        x = functional.embedding(tokens, self.tok_emb)
        for layer in range(self.config.n_layers):
            x = x + self.attention(layer, rms_norm(x, self.rms_att[layer]))
            x = x + self.feed_forward(layer, rms_norm(x, self.rms_ffn[layer]))
        return functional.linear(rms_norm(x, self.rms_final), self.tok_emb)

    def attention(self, layer, x):
        """Causal attention, where neighbouring query heads share a key and value head."""
        config, length = self.config, x.shape[1]
        queries = self.rotated(self.heads(x, self.wq[layer])) * config.head_size ** -0.5
        keys = self.rotated(self.heads(x, self.wk[layer]))
        values = self.heads(x, self.wv[layer])
        shared_by = config.n_heads // config.n_kv_heads
        keys = keys.repeat_interleave(shared_by, dim=2).permute(0, 2, 3, 1)
        values = values.repeat_interleave(shared_by, dim=2).transpose(1, 2)
        scores = queries.transpose(1, 2) @ keys + self.future[:length, :length]
        mixed = (torch.softmax(scores, dim=-1) @ values).transpose(1, 2)
        return functional.linear(mixed.reshape(*x.shape), self.wo[layer])

    def heads(self, x, weight):
        """Project, and split the result into heads."""
        return functional.linear(x, weight).unflatten(-1, (-1, self.config.head_size))

    def rotated(self, x):
        """Rotate neighbouring pairs of each head by the angle of its position."""
        cosines, sines = self.cosines[:x.shape[1]], self.sines[:x.shape[1]]
        even, odd = x[..., 0::2], x[..., 1::2]
        pairs = torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1)
        return pairs.flatten(-2)

    def feed_forward(self, layer, x):
        """The gated feed-forward block."""
        gate = functional.silu(functional.linear(x, self.w1[layer]))
        return functional.linear(gate * functional.linear(x, self.w3[layer]), self.w2[layer])

    def losses(self, batch):
        """The loss to minimise and that of the next token, here the same; batch is (rows, positions + 1)."""
        logits = self.forward(batch[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        return loss, loss

    def after_step(self):
        """Nothing here moves without a gradient."""

    def parameter_groups(self, weight_decay):
        """Parameters for the optimiser: matrices decay, gains do not."""
        named = list(self.named_parameters())
        return [{"params": [p for name, p in named if not name.startswith("rms")], "weight_decay": weight_decay},
                {"params": [p for name, p in named if name.startswith("rms")], "weight_decay": 0.0}]

    def weights(self):
        """The parameters as NumPy arrays, by checkpoint name."""
        return {name: parameter.detach().numpy() for name, parameter in self.named_parameters()}


def initial_weight(name, shape, config):
    """Ones for gains, small normal noise for matrices, smaller where a block joins the stream."""
    if name.startswith("rms"):
        return torch.ones(shape)
    spread = 0.02 if name == "tok_emb" else shape[-1] ** -0.5
    if name in ("wo", "w2"):
        spread /= math.sqrt(2 * config.n_layers)
    return torch.randn(shape) * spread
