"""Decoders of published families in NumPy fp32: the reference of their checkpoints' expected output."""

import numpy as np

from .networks import has_experts, has_module, has_recurrence, is_latent, layer_prefixes, module_prefix, module_tensors
from .reference_mixers import gated_delta, grouped_attention, latent_attention, rms_norm
from .reference_mixture import mixture, named_block


class Layer:
    """One layer, with the state of the sequence it has seen."""

    def __init__(self, config, weights, prefix):
        self.config = config
        self.weights = {name.removeprefix(prefix): values for name, values in weights.items()
                        if name.startswith(prefix)}
        self.feeds_experts = has_experts(config, prefix)
        if has_recurrence(config, prefix):
            self.mixer = gated_delta
        else:
            self.mixer = latent_attention if is_latent(config) else grouped_attention
        self.state = {}

    def __call__(self, x):
        """Append tokens, (tokens, hidden), to the sequence; return the stream after the layer."""
        seen = normalised(x, self.weights["input_layernorm.weight"], self.config)
        x = x + self.mixer(seen, self.weights, self.config, self.state)
        seen = normalised(x, self.weights["post_attention_layernorm.weight"], self.config)
        if self.feeds_experts:
            return x + mixture(seen, self.weights, self.config)
        return x + named_block(seen, self.weights, "mlp.")


def normalised(x, weight, config):
    """The family's RMSNorm; Qwen's stores weights as their distance from 1."""
    return rms_norm(x, weight if is_latent(config) else 1 + weight, config["rms_norm_eps"])


class DecoderReference:
    """Runs one sequence; ``logits_after`` extends it and remembers what its layers keep."""

    def __init__(self, config, weights):
        self.config = config
        self.weights = weights
        self.context = config["max_position_embeddings"]
        self.layers = [Layer(config, weights, prefix) for prefix in layer_prefixes(config)]
        self.module = Layer(config, weights, module_prefix(config)) if has_module(config) else None

    def restart(self):
        """Forget the sequence."""
        for layer in self.layers:
            layer.state = {}

    def logits_after(self, tokens):
        """Append tokens to the sequence; return the logits after each of them."""
        return self._head(self.hidden_after(tokens))

    def hidden_after(self, tokens):
        """Append tokens to the sequence; return the normalised hidden state of each."""
        x = self.weights["model.embed_tokens.weight"][np.asarray(tokens)]
        for layer in self.layers:
            x = layer(x)
        return normalised(x, self.weights["model.norm.weight"], self.config)

    def logits_and_drafts(self, tokens):
        """Of a whole sequence: the logits after each token, and the module's for the token after the next.

        Row i of the drafts follows the hidden state of token i and the embedding of
        token i + 1, so there is one row fewer (DeepSeek-V3, arXiv 2412.19437, section 2.2).
        """
        self.restart()
        hidden = self.hidden_after(tokens)
        embedding_norm, hidden_norm, combine, final_norm = (self.weights[n] for n in module_tensors(self.config))
        embedded = self.weights["model.embed_tokens.weight"][np.asarray(tokens[1:])]
        both = np.concatenate((normalised(embedded, embedding_norm, self.config),
                               normalised(hidden[:-1], hidden_norm, self.config)), axis=-1)
        self.module.state = {}
        x = self.module(both @ combine.T)
        return self._head(hidden), self._head(normalised(x, final_norm, self.config))

    def _head(self, hidden):
        return hidden @ self.weights["lm_head.weight"].T
