#!/usr/bin/python3
"""Make, or check, the Little Tales checkpoint.

    scripts/train_small_model.py             train it and write every file of the checkpoint
    scripts/train_small_model.py --check     re-evaluate the committed files (NumPy only)
    scripts/train_small_model.py --describe  write the card and the greedy continuations again

Training needs PyTorch (Debian: ``apt-get install python3-torch libopenblas0``).
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from small_model import evaluation, tales
from small_model.card import write_card
from small_model.checkpoint import Config, write_checkpoint
from small_model.tokenizer import BOS, train_tokenizer

CHECKPOINT = Path(__file__).resolve().parent.parent / "workloads" / "checkpoints" / "little_tales"
TRAINING_SEED, TRAINING_STORIES = 1001, 37600


def make_tokenizer(stories, config, folder):
    """Train the tokenizer, make sure its two encoders agree, and write it."""
    tokenizer = train_tokenizer(stories[:10000], config.vocab_size)
    for story in stories[:100]:
        token_ids = tokenizer.encode(story)
        if token_ids != tokenizer.encode_document(story, {}) or tokenizer.decode(token_ids) != story:
            raise AssertionError(f"the tokenizer does not reproduce: {story}")
    tokenizer.write(folder / "tokenizer.bin")
    return tokenizer


def make_model(stories, tokenizer, config, recipe, folder):
    """Train the model and write it."""
    from small_model.transformer import rows_of_documents, train

    seen_pieces = {}
    documents = [tokenizer.encode_document(story, seen_pieces) for story in stories]
    rows = rows_of_documents(documents, BOS, config.seq_len + 1)
    print(f"{config.parameter_count()} parameters, {len(stories)} stories, {rows.size} tokens")
    model = train(config, recipe, rows, report=lambda line: print(line, flush=True))
    write_checkpoint(folder / "model.bin", config, model.weights())


def make(folder, recipe):
    """Write every file of the checkpoint; return whether its figures are acceptable."""
    folder.mkdir(parents=True, exist_ok=True)
    config = Config()
    stories = tales.tell_stories(TRAINING_STORIES, TRAINING_SEED)
    make_model(stories, make_tokenizer(stories, config, folder), config, recipe, folder)
    return describe(folder, recipe)


def describe(folder, recipe):
    """Evaluate the model of a folder and write its card and its greedy continuations."""
    model, tokenizer = evaluation.load(folder)
    figures = evaluation.evaluate(model, tokenizer)
    evaluation.write_greedy_continuations(model, tokenizer, folder)
    write_card(folder / "MODEL_CARD.md", model.config, recipe, figures, TRAINING_STORIES, TRAINING_SEED)
    print("\n".join(figures.lines()))
    return figures.acceptable()


def check(folder):
    """Print the figures of a checkpoint; return whether they are acceptable."""
    model, tokenizer = evaluation.load(folder)
    figures = evaluation.evaluate(model, tokenizer)
    greedy_matches = evaluation.greedy_continuations_match(model, tokenizer, folder)
    print("\n".join(figures.lines()))
    print(f"expected_greedy.json reproduced: {'yes' if greedy_matches else 'no'}")
    return figures.acceptable() and greedy_matches


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only re-evaluate the files in the folder")
    parser.add_argument("--describe", action="store_true", help="only write what describes the model in the folder")
    parser.add_argument("--folder", type=Path, default=CHECKPOINT, help="where the checkpoint lies")
    parser.add_argument("--steps", type=int, help="train for so many steps, to try a change quickly")
    arguments = parser.parse_args()
    if arguments.check:
        return 0 if check(arguments.folder) else 1
    from small_model.transformer import Recipe

    recipe = Recipe(steps=arguments.steps) if arguments.steps else Recipe()
    write = describe if arguments.describe else make
    return 0 if write(arguments.folder, recipe) else 1


if __name__ == "__main__":
    sys.exit(main())
