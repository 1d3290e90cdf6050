#!/usr/bin/python3
"""Make, or check, the checkpoint of a small model of this repository.

    scripts/train_small_model.py NAME             train it and write every file of the checkpoint
    scripts/train_small_model.py NAME --check     re-evaluate the committed files (NumPy only)
    scripts/train_small_model.py NAME --describe  write the card and the greedy continuations again

Without a NAME it is little_tales, whose tokenizer all others share. Training needs
PyTorch (Debian: ``apt-get install python3-torch libopenblas0``). A drafter's card
compares it with its target, whose files must be there.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from small_model import evaluation, speculation
from small_model.card import card_says, write_card
from small_model.collection import CHECKPOINTS, MODELS
from small_model.making import make
from small_model.networks import has_module


def agreement_of(model, reference, tokenizer):
    """How well a drafter foretells its target, or a module its own model; None of other models."""
    if model.target:
        target, _ = evaluation.load(CHECKPOINTS / model.target)
        return speculation.drafter_agreement(reference, target, tokenizer)
    if not model.has_llama2c_file() and has_module(model.config):
        return speculation.module_agreement(reference, tokenizer)
    return None


def measured(model, folder):
    """The reference model and tokenizer of a folder, its figures and its agreement; prints the figures."""
    reference, tokenizer = evaluation.load(folder)
    figures = evaluation.evaluate(reference, tokenizer)
    agreement = agreement_of(model, reference, tokenizer)
    print("\n".join(figures.lines(model.required_sentences) + (agreement.lines() if agreement else [])))
    return reference, tokenizer, figures, agreement


def describe(name, model, recipe, folder):
    """Evaluate the model of a folder and write its card and its greedy continuations."""
    reference, tokenizer, figures, agreement = measured(model, folder)
    evaluation.write_greedy_continuations(reference, tokenizer, folder)
    write_card(folder / "MODEL_CARD.md", name, model, recipe, figures, agreement)
    return figures.acceptable(model.required_sentences)


def check(name, model, folder):
    """Print the figures of a checkpoint; return whether they are acceptable and its files say the same."""
    reference, tokenizer, figures, agreement = measured(model, folder)
    greedy_matches = evaluation.greedy_continuations_match(reference, tokenizer, folder)
    card_matches = card_says(folder / "MODEL_CARD.md", name, model, figures, agreement)
    print(f"expected_greedy.json reproduced: {'yes' if greedy_matches else 'no'}")
    print(f"figures of MODEL_CARD.md reproduced: {'yes' if card_matches else 'no'}")
    return figures.acceptable(model.required_sentences) and greedy_matches and card_matches


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="little_tales", choices=MODELS, help="which model")
    parser.add_argument("--check", action="store_true", help="only re-evaluate the files in the folder")
    parser.add_argument("--describe", action="store_true", help="only write what describes the model in the folder")
    parser.add_argument("--folder", type=Path, help="where the checkpoint lies")
    parser.add_argument("--steps", type=int, help="train for so many steps, to try a change quickly")
    arguments = parser.parse_args()
    model = MODELS[arguments.name]
    folder = arguments.folder or CHECKPOINTS / arguments.name
    if arguments.check:
        return 0 if check(arguments.name, model, folder) else 1
    recipe = replace(model.recipe, steps=arguments.steps) if arguments.steps else model.recipe
    if not arguments.describe:
        make(arguments.name, model, recipe, folder)
    return 0 if describe(arguments.name, model, recipe, folder) else 1


if __name__ == "__main__":
    sys.exit(main())
