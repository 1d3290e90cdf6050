"""The small models of this repository: what each is, how it is trained and where its files lie."""

from dataclasses import dataclass, replace
from pathlib import Path

from .checkpoint import Config
from .networks import NETWORKS
from .recipe import Recipe

CHECKPOINTS = Path(__file__).resolve().parent.parent.parent / "workloads" / "checkpoints"
TOKENIZER = CHECKPOINTS / "little_tales" / "tokenizer.bin"
TRAINING_SEED, TRAINING_STORIES = 1001, 37600


@dataclass(frozen=True)
class SmallModel:
    """A model to train: a llama2.c header or a config.json, a recipe, and of a drafter its target's name.

    ``required_sentences`` is the share of sampled sentences that the grammar must accept.
    """

    config: Config | dict
    recipe: Recipe
    target: str = ""
    required_sentences: float = 0.80

    def has_llama2c_file(self):
        """Whether the weights are one llama2.c file, rather than safetensors."""
        return isinstance(self.config, Config)


def large_recipe(seed):
    """Small batches: half the tokens of Little Tales, for models that cost twice as much per token."""
    return Recipe(seed=seed, steps=2200, batch_rows=4, peak_learning_rate=2e-3, warmup_steps=100)


DRAFTER_RECIPE = Recipe(seed=20240304, steps=2300, batch_rows=8)

MODELS = {
    "little_tales": SmallModel(Config(), Recipe()),
    "little_tales_drafter": SmallModel(
        Config(dim=64, hidden_dim=160, n_layers=2, n_heads=2, n_kv_heads=1), DRAFTER_RECIPE, "little_tales"),
    "little_hybrid": SmallModel(NETWORKS["little_hybrid"], large_recipe(20240301)),
    "little_hybrid_drafter": SmallModel(NETWORKS["little_hybrid_drafter"], DRAFTER_RECIPE, "little_hybrid"),
    "little_latent": SmallModel(NETWORKS["little_latent"], large_recipe(20240302)),
    "little_latent_drafter": SmallModel(
        NETWORKS["little_latent_drafter"], replace(DRAFTER_RECIPE, steps=5000), "little_latent"),
}
