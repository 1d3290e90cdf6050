"""A whole decoder and its modules of multi-token prediction, without caches."""
import numpy as np

from oracle_maths.operators import MIXERS, cap, experts, feed_forward, layer_norm, rms_norm


class Decoder:
    def __init__(self, config, weights):
        self.config, self.weights = config, weights

    def below(self, prefix):
        return {k[len(prefix):]: v for k, v in self.weights.items() if k.startswith(prefix)}

    def norm(self, x, w, name):
        n = self.config["norm"]
        if n["kind"] == "layer":
            return layer_norm(x, w[name], w[name + "_bias"], n["epsilon"])
        return rms_norm(x, w[name], n["epsilon"], n["one_plus"])

    def layer(self, x, kind, w):
        ffn, post = kind["ffn"], kind.get("post_norms", False)
        y = MIXERS[kind["mixer"]["type"]](self.norm(x, w, "attention_norm"), kind["mixer"], w,
                                          self.config)
        x = x + (self.norm(y, w, "attention_post_norm") if post else y)
        seen = self.norm(x, w, "ffn_norm")
        dense, has_experts = ffn.get("intermediate", 0) > 0, "experts" in ffn
        if dense:
            y = feed_forward(seen, w, "ffn.", ffn["activation"], ffn["gated"])
        if dense and has_experts:
            other = experts(self.norm(x, w, "experts.norm"), x, ffn, w, self.config)
            y = self.norm(y, w, "ffn.post_norm") + self.norm(other, w, "experts.post_norm")
        elif has_experts:
            y = experts(seen, x, ffn, w, self.config)
        return x + (self.norm(y, w, "ffn_post_norm") if post else y)

    def embed(self, tokens):
        return self.weights["embedding"][tokens] * self.config.get("embedding_scale", 1.0)

    def head(self, hidden):
        table = self.weights["embedding" if self.config.get("tied") else "head"]
        return cap(hidden @ table.T, self.config.get("final_softcap", 0))

    def forward(self, tokens):
        """(logits, hidden states after the final norm), one row per token."""
        x = self.embed(tokens)
        if self.config.get("learned_positions"):
            x = x + self.weights["positions"][:len(tokens)]
        for i, name in enumerate(self.config["layers"]):
            x = self.layer(x, self.config["kinds"][name], self.below(f"layers.{i}."))
        hidden = self.norm(x, self.weights, "final_norm")
        return self.head(hidden), hidden

    def draft(self, hidden, next_tokens, module=0):
        """Multi-token prediction: DeepSeek-V3, arXiv 2412.19437, section 2.2; the embedding's half
        comes first, as in published weights (vllm-project/vllm deepseek_mtp.py). Row i pairs the
        hidden state of token i with token i + 1."""
        w = self.below(f"mtp.{module}.")
        both = np.concatenate([self.norm(self.embed(next_tokens), w, "embedding_norm"),
                               self.norm(hidden, w, "hidden_norm")], axis=-1)
        x = self.layer(both @ w["combine"].T, self.config["kinds"][self.config["mtp"]["kind"]], w)
        return self.head(self.norm(x, w, "final_norm"))
