"""How a model is trained."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Steps, batches and the settings of AdamW; the defaults are those of Little Tales."""

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
