"""Training: the recipe that fits a model in PyTorch to a token stream."""

import time

import numpy as np
import torch


def rows_of_documents(documents, bos, length):
    """Rows of so many tokens; each begins with a fresh document, and its last may be cut short."""
    rows, row = [], []
    for document in documents:
        row += [bos, *document]
        if len(row) >= length:
            rows.append(row[:length])
            row = []
    return np.array(rows, dtype=np.int64)


def train(make_model, recipe, rows, report=print):
    """A model trained on the rows, taken in order, and from the start again if they run out."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = make_model()
    optimiser = torch.optim.AdamW(model.parameter_groups(recipe.weight_decay), betas=recipe.betas)
    started = time.monotonic()
    for step in range(recipe.steps):
        chosen = np.arange(step * recipe.batch_rows, (step + 1) * recipe.batch_rows) % len(rows)
        batch = torch.from_numpy(rows[chosen])
        loss = training_step(model, optimiser, batch, recipe, recipe.learning_rate(step))
        if step % 50 == 0 or step == recipe.steps - 1:
            report(f"step {step:5d}  loss {loss:.4f}  {time.monotonic() - started:6.0f} s")
    return model


def training_step(model, optimiser, batch, recipe, learning_rate):
    """One update on a batch of rows; return its loss of the next token."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    loss, predicting = model.losses(batch)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
    optimiser.step()
    model.after_step()
    return predicting.item()
