"""How often a drafter, or a module of multi-token prediction, says what its target says next."""

from dataclasses import dataclass

import numpy as np

from . import tales
from .evaluation import HELD_OUT_SEED, HELD_OUT_STORIES
from .tokenizer import BOS

GREEDY_STORIES, GREEDY_POSITIONS, DRAFTS = 40, 128, 3


@dataclass(frozen=True)
class Agreement:
    """Shares of tokens on which both choose the same, and the target's tokens per round of drafts.

    ``held_out``: along held-out stories. ``greedy``: along what the target writes
    greedily after the first sentence of a held-out story, where it is the share of
    drafts that are accepted. A round is one verification by the target of up to
    ``drafts`` tokens drafted one after another.
    """

    held_out: float
    greedy: float
    drafts: int
    tokens_per_round: float

    def lines(self):
        """The figures as lines to print."""
        return [
            f"agreement with the target on held-out stories: {self.held_out:.1%}",
            f"agreement with the target's greedy text: {self.greedy:.1%}",
            f"greedy tokens per round of {self.drafts} draft{'s' if self.drafts > 1 else ''}:"
            f" {self.tokens_per_round:.2f}",
        ]


def drafter_agreement(drafter, target, tokenizer):
    """How well a drafter foretells its target."""
    def agrees(tokens, first):
        target.restart()
        drafter.restart()
        wanted = target.logits_after(tokens[:-1])[first:].argmax(axis=-1)
        return drafter.logits_after(tokens[:-1])[first:].argmax(axis=-1) == wanted

    return agreement(agrees, target, tokenizer, DRAFTS)


def module_agreement(model, tokenizer):
    """How well the module of multi-token prediction of a model foretells the model's token after the next."""
    def agrees(tokens, first):
        logits, drafts = model.logits_and_drafts(tokens[:-1])
        return drafts[first:].argmax(axis=-1) == logits[first + 1:].argmax(axis=-1)

    return agreement(agrees, model, tokenizer, 1)


def agreement(agrees, target, tokenizer, drafts):
    """The figures of what ``agrees(tokens, first)`` says of each choice after the first tokens of a text."""
    stories = tales.tell_stories(HELD_OUT_STORIES, HELD_OUT_SEED)
    held_out = [agrees([BOS, *tokenizer.encode(story), BOS], 0) for story in stories]
    greedy = []
    for story in stories[:GREEDY_STORIES]:
        prompt = [BOS, *tokenizer.encode(tales.sentences_of(story)[0])]
        greedy.append(agrees(greedy_document(target, prompt), len(prompt) - 1))
    rounds = [rounds_of(choices, drafts) for choices in greedy]
    return Agreement(
        held_out=float(np.concatenate(held_out).mean()),
        greedy=float(np.concatenate(greedy).mean()),
        drafts=drafts,
        tokens_per_round=sum(len(choices) for choices in greedy) / sum(rounds),
    )


def greedy_document(model, prompt):
    """The prompt and the likeliest tokens after it, up to the BOS that ends the story."""
    model.restart()
    tokens = list(prompt)
    logits = model.logits_after(tokens)[-1]
    while len(tokens) < GREEDY_POSITIONS:
        tokens.append(int(logits.argmax()))
        if tokens[-1] == BOS:
            break
        logits = model.logits_after(tokens[-1:])[-1]
    return tokens


def rounds_of(choices, drafts):
    """Rounds that so many choices take: a round ends with the first draft that is wrong, or a token after the last."""
    rounds, place = 0, 0
    while place < len(choices):
        accepted = 0
        while accepted < drafts and place + accepted < len(choices) and choices[place + accepted]:
            accepted += 1
        place += accepted + 1
        rounds += 1
    return rounds
