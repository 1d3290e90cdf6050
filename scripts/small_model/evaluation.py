"""How well a checkpoint does: perplexity, grammar acceptance, vocabulary, greedy continuations."""

import hashlib
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

from . import tales
from .checkpoint import read_checkpoint
from .collection import TOKENIZER
from .grammar import words_of
from .reference import ReferenceModel, continue_greedily, sample_document, surprise
from .reference_decoder import DecoderReference
from .safetensors import read_safetensors
from .tokenizer import BOS, Tokenizer

HELD_OUT_SEED, HELD_OUT_STORIES = 77001, 200
SAMPLING_SEED, SAMPLED_SENTENCES, TEMPERATURE = 4242, 200, 1.0
REQUIRED_WORDS_KNOWN = 0.95
GREEDY_POSITIONS = 128
PROMPTS = (
    "",
    "Once there was a brave little fox named Ruby who lived",
    "Once there was a brave little fox named Ruby who lived under an old oak tree. One windy day, Ruby found",
    "Once upon a time, a sleepy bear named Hugo lived by the river."
    " One afternoon, he was picking berries in the forest when",
)
ABOUT_GREEDY = (
    "Greedy fp32 continuations. token_ids: BOS, the prompt, then the likeliest token after each"
    f" position up to position {GREEDY_POSITIONS - 1}, going on past a BOS. text: token_ids decoded"
    " up to the first BOS after the start. smallest_logit_lead: the least lead of a chosen token's"
    " logit over the runner-up's."
)
ABOUT_MODULE = (
    " module_token_ids: entry i is the likeliest token i + 2 to the module of multi-token prediction,"
    " from the hidden state of token i and the embedding of token i + 1."
)


@dataclass(frozen=True)
class Figures:
    """What ``evaluate`` measures."""

    perplexity_per_token: float
    perplexity_per_word: float
    grammar_per_token: float
    grammar_per_word: float
    sentences: int
    sentences_accepted: float
    stories: int
    stories_accepted: float
    words: int
    words_known: float
    good_story: str
    bad_story: str

    def acceptable(self, required_sentences):
        """Whether the sampled text has enough sentences of the grammar and words of its vocabulary."""
        return self.sentences_accepted >= required_sentences and self.words_known >= REQUIRED_WORDS_KNOWN

    def lines(self, required_sentences):
        """The figures as lines to print."""
        return [
            f"held-out perplexity per token: {self.perplexity_per_token:.4f}"
            f" (the grammar itself: at most {self.grammar_per_token:.4f})",
            f"held-out perplexity per word:  {self.perplexity_per_word:.4f}"
            f" (the grammar itself: at most {self.grammar_per_word:.4f})",
            f"sentences accepted by the grammar: {self.sentences_accepted:.1%} of {self.sentences}"
            f" at temperature {TEMPERATURE} (required: {required_sentences:.0%})",
            f"words in the vocabulary: {self.words_known:.1%} of {self.words}"
            f" (required: {REQUIRED_WORDS_KNOWN:.0%})",
            f"whole stories accepted, every agreement included: {self.stories_accepted:.1%} of {self.stories}",
        ]


def load(folder):
    """The reference model and the tokenizer of a checkpoint folder; most share that of Little Tales."""
    folder = Path(folder)
    own = folder / "tokenizer.bin"
    tokenizer = Tokenizer.read(own if own.exists() else TOKENIZER)
    path = weights_file(folder)
    if path.suffix == ".bin":
        return ReferenceModel(*read_checkpoint(path)), tokenizer
    config = json.loads((folder / "config.json").read_text())
    return DecoderReference(config, read_safetensors(path)), tokenizer


def weights_file(folder):
    """The file that holds the weights of a checkpoint folder."""
    published = Path(folder) / "model.safetensors"
    return published if published.exists() else Path(folder) / "model.bin"


def evaluate(model, tokenizer):
    """Measure a model on held-out stories and on stories of its own."""
    per_token, per_word, grammar_per_token, grammar_per_word = held_out_perplexities(model, tokenizer)
    stories = sampled_stories(model, tokenizer)
    sentences = [sentence for story in stories for sentence in tales.sentences_of(story)]
    sentences = sentences[:SAMPLED_SENTENCES]
    whole = [tales.is_story(story) for story in stories]
    known, words = tales.words_in_vocabulary(" ".join(sentences))
    return Figures(
        perplexity_per_token=per_token,
        perplexity_per_word=per_word,
        grammar_per_token=grammar_per_token,
        grammar_per_word=grammar_per_word,
        sentences=len(sentences),
        sentences_accepted=share(map(tales.is_sentence, sentences)),
        stories=len(stories),
        stories_accepted=share(whole),
        words=words,
        words_known=known / words,
        good_story=next((story for story, accepted in zip(stories, whole) if accepted), "(none)"),
        bad_story=next((story for story, accepted in zip(stories, whole) if not accepted), "(none)"),
    )


def share(verdicts):
    """The share of true verdicts."""
    verdicts = list(verdicts)
    return sum(verdicts) / len(verdicts)


def held_out_perplexities(model, tokenizer):
    """Perplexity per token and per word: the model's, then that of the grammar's own choices.

    The tokens of a story are its own and the BOS that ends it. The grammar's
    figure bounds the best possible one from above, since two ways of choosing
    may give the same text.
    """
    stories, surprise_of_choices = tales.tell_stories_with_surprise(HELD_OUT_STORIES, HELD_OUT_SEED)
    documents = [[BOS, *tokenizer.encode_document(story, {}), BOS] for story in stories]
    nats = sum(surprise(model, document) for document in documents)
    tokens = sum(len(document) - 1 for document in documents)
    words = sum(len(words_of(story)) for story in stories)
    return (
        math.exp(nats / tokens), math.exp(nats / words),
        math.exp(surprise_of_choices / tokens), math.exp(surprise_of_choices / words),
    )


def sampled_stories(model, tokenizer):
    """Stories sampled from nothing until they hold enough sentences."""
    chance, stories, sentences = random.Random(SAMPLING_SEED), [], 0
    while sentences < SAMPLED_SENTENCES:
        story = tokenizer.decode(sample_document(model, chance, TEMPERATURE))
        stories.append(story)
        sentences += len(tales.sentences_of(story))
    return stories


def greedy_continuations(model, tokenizer, model_path):
    """What the model writes after each prompt when it always takes the likeliest token."""
    return {
        "about": ABOUT_GREEDY + (ABOUT_MODULE if has_drafts(model) else ""),
        "model_sha256": hashlib.sha256(Path(model_path).read_bytes()).hexdigest(),
        "positions": GREEDY_POSITIONS,
        "continuations": [greedy_continuation(model, tokenizer, prompt) for prompt in PROMPTS],
    }


def greedy_continuation(model, tokenizer, prompt):
    """One entry of expected_greedy.json."""
    prompt_ids = tokenizer.encode(prompt)
    token_ids, lead = continue_greedily(model, prompt_ids, GREEDY_POSITIONS)
    entry = {
        "prompt": prompt,
        "prompt_token_ids": prompt_ids,
        "text": tokenizer.decode(until_next_document(token_ids)),
        "token_ids": token_ids,
        "smallest_logit_lead": round(lead, 4),
    }
    if has_drafts(model):
        _, drafts = model.logits_and_drafts(token_ids[:-1])
        entry["module_token_ids"] = drafts.argmax(axis=-1).tolist()
    return entry


def has_drafts(model):
    """Whether a reference model has a module of multi-token prediction."""
    return isinstance(model, DecoderReference) and model.module is not None


def until_next_document(token_ids):
    """The tokens after the first BOS and before the next."""
    after_first = token_ids[1:]
    return after_first[:after_first.index(BOS)] if BOS in after_first else after_first


def write_greedy_continuations(model, tokenizer, folder):
    """Write expected_greedy.json, each list of numbers on one line; return its contents."""
    expected = greedy_continuations(model, tokenizer, weights_file(folder))
    text = json.dumps({**expected, "continuations": "HERE"}, indent=2)
    entries = []
    for continuation in expected["continuations"]:
        fields = ",\n".join(f"      {json.dumps(name)}: {json.dumps(value)}" for name, value in continuation.items())
        entries.append("    {\n" + fields + "\n    }")
    text = text.replace('"HERE"', "[\n" + ",\n".join(entries) + "\n  ]")
    (Path(folder) / "expected_greedy.json").write_text(text + "\n")
    return expected


def greedy_continuations_match(model, tokenizer, folder):
    """Whether the committed continuations belong to the committed model and come out the same."""
    folder = Path(folder)
    expected = json.loads((folder / "expected_greedy.json").read_text())
    found = greedy_continuations(model, tokenizer, weights_file(folder))
    if expected["model_sha256"] != found["model_sha256"]:
        return False
    compared = ("token_ids", "text", "module_token_ids")
    return all(
        old.get(name) == new.get(name)
        for old, new in zip(expected["continuations"], found["continuations"], strict=True)
        for name in compared
    )
