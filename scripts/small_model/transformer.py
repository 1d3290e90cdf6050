"""Training: the same model in PyTorch, and the recipe that fits it to a token stream."""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from .checkpoint import rotation_tables

RMS_EPSILON = 1e-5


@dataclass(frozen=True)
class Recipe:
    """How the model is trained."""

    seed: int = 20240229
    steps: int = 2300
    batch_rows: int = 8
    peak_learning_rate: float = 3e-3
    final_learning_rate: float = 1e-4
    warmup_steps: int = 80
    betas: tuple = (0.9, 0.95)
    weight_decay: float = 0.05
    gradient_clip: float = 1.0

    def learning_rate(self, step):
        """A linear rise, then half a cosine down."""
        if step < self.warmup_steps:
            return self.peak_learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        span = self.peak_learning_rate - self.final_learning_rate
        return self.final_learning_rate + span * 0.5 * (1 + math.cos(math.pi * done))


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


def rows_of_documents(documents, bos, length):
    """Rows of so many tokens; each begins with a fresh document, and its last may be cut short."""
    rows, row = [], []
    for document in documents:
        row += [bos, *document]
        if len(row) >= length:
            rows.append(row[:length])
            row = []
    return np.array(rows, dtype=np.int64)


def train(config, recipe, rows, report=print):
    """A model trained on the rows, taken in order, and from the start again if they run out."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = Transformer(config)
    matrices = [weight for name, weight in model.named_parameters() if not name.startswith("rms")]
    gains = [weight for name, weight in model.named_parameters() if name.startswith("rms")]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": gains, "weight_decay": 0.0}],
        betas=recipe.betas,
    )
    started = time.monotonic()
    for step in range(recipe.steps):
        chosen = np.arange(step * recipe.batch_rows, (step + 1) * recipe.batch_rows) % len(rows)
        batch = torch.from_numpy(rows[chosen])
        loss = training_step(model, optimiser, batch, recipe, recipe.learning_rate(step))
        if step % 50 == 0 or step == recipe.steps - 1:
            report(f"step {step:5d}  loss {loss:.4f}  {time.monotonic() - started:6.0f} s")
    return model


def training_step(model, optimiser, batch, recipe, learning_rate):
    """One update on a batch of rows; return its loss."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    logits = model(batch[:, :-1])
    loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
    optimiser.step()
    return loss.item()
