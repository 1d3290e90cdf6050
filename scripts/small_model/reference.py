"""The model in NumPy fp32: the reference that a checkpoint's expected output comes from."""

import numpy as np

from .tokenizer import BOS

RMS_EPSILON = np.float32(1e-5)


def rms_norm(x, gain):
    """Root-mean-square normalisation over the last axis."""
    return gain * (x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + RMS_EPSILON))


def softmax(x):
    """Softmax over the last axis."""
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def silu(x):
    """x times its logistic function."""
    return x / (1 + np.exp(-x))


def rotated(x, cosines, sines):
    """Rotate neighbouring pairs of each head; x is (positions, heads, head_size)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cosines, sines = cosines[:, None, :], sines[:, None, :]
    turned = np.empty_like(x)
    turned[..., 0::2] = even * cosines - odd * sines
    turned[..., 1::2] = even * sines + odd * cosines
    return turned


class ReferenceModel:
    """Runs one sequence; ``logits_after`` extends it and remembers keys and values."""

    def __init__(self, config, weights):
        self.config = config
        self.context = config.seq_len
        self.weights = weights
        self.restart()

    def restart(self):
        """Forget the sequence."""
        shape = (self.config.n_layers, self.config.seq_len, self.config.n_kv_heads, self.config.head_size)
        self.keys = np.zeros(shape, np.float32)
        self.values = np.zeros(shape, np.float32)
        self.position = 0

    def logits_after(self, tokens):
        """Append tokens to the sequence; return the logits after each of them."""
        weights = self.weights
        x = weights["tok_emb"][np.asarray(tokens)]
        for layer in range(self.config.n_layers):
            x = x + self._attention(layer, rms_norm(x, weights["rms_att"][layer]))
            x = x + self._feed_forward(layer, rms_norm(x, weights["rms_ffn"][layer]))
        self.position += len(tokens)
        return rms_norm(x, weights["rms_final"]) @ weights["tok_emb"].T

    def _attention(self, layer, x):
        config, weights = self.config, self.weights
        start, end = self.position, self.position + len(x)
        cosines, sines = weights["freq_cis_real"][start:end], weights["freq_cis_imag"][start:end]
        queries = rotated(self._heads(x, weights["wq"][layer]), cosines, sines)
        self.keys[layer, start:end] = rotated(self._heads(x, weights["wk"][layer]), cosines, sines)
        self.values[layer, start:end] = self._heads(x, weights["wv"][layer])
        shared_by = config.n_heads // config.n_kv_heads
        keys = np.repeat(self.keys[layer, :end], shared_by, axis=1).transpose(1, 2, 0)
        values = np.repeat(self.values[layer, :end], shared_by, axis=1).transpose(1, 0, 2)
        scores = queries.transpose(1, 0, 2) @ keys / np.sqrt(np.float32(config.head_size))
        in_future = np.arange(end)[None, :] > np.arange(start, end)[:, None]
        mixed = softmax(np.where(in_future, np.float32(-np.inf), scores)) @ values
        return mixed.transpose(1, 0, 2).reshape(len(x), config.dim) @ weights["wo"][layer].T

    def _heads(self, x, weight):
        return (x @ weight.T).reshape(len(x), -1, self.config.head_size)

    def _feed_forward(self, layer, x):
        weights = self.weights
        gate = silu(x @ weights["w1"][layer].T)
        return (gate * (x @ weights["w3"][layer].T)) @ weights["w2"][layer].T


def continue_greedily(model, prompt_tokens, positions):
    """Run so many positions from BOS; after the prompt each next token is the likeliest.

    Returns the tokens (BOS, prompt, continuation: one more than the positions)
    and the smallest lead of a chosen token's logit over the runner-up's.
    """
    model.restart()
    tokens, smallest_lead = [BOS, *prompt_tokens], np.inf
    for position in range(positions):
        logits = model.logits_after([tokens[position]])[0]
        if position + 1 == len(tokens):
            runner_up, best = np.sort(logits)[-2:]
            smallest_lead = min(smallest_lead, float(best - runner_up))
            tokens.append(int(np.argmax(logits)))
    return tokens, smallest_lead


def sample_document(model, random, temperature):
    """Sample from BOS until the next BOS or the end of the context; return the tokens between.

    ``random`` is a ``random.Random``.
    """
    model.restart()
    tokens = [BOS]
    while len(tokens) <= model.context:
        logits = model.logits_after(tokens[-1:])[0].astype(np.float64)
        chances = softmax(logits / temperature)
        token = int(np.searchsorted(np.cumsum(chances), random.random() * chances.sum()))
        if token == BOS:
            break
        tokens.append(token)
    return tokens[1:]


def surprise(model, tokens):
    """The negative log-likelihood, in nats, of the tokens after the first."""
    model.restart()
    logits = model.logits_after(tokens[:-1]).astype(np.float64)
    likelihoods = np.take_along_axis(softmax(logits), np.asarray(tokens[1:])[:, None], axis=1)
    return -float(np.log(likelihoods).sum())
