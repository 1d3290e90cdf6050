"""The model card, written from the figures of the checkpoint it describes."""

from . import tales
from .evaluation import HELD_OUT_SEED, HELD_OUT_STORIES, SAMPLING_SEED, TEMPERATURE

CARD = """\
# Little Tales

A language model of {parameters:,} parameters that writes very short stories in
plain English. It is small enough to be simulated token by token, and real enough
that a wrong result shows: the text stops making sense.

Sampled at temperature {temperature} with seed {sampling_seed}, this is the first story that keeps every
agreement from beginning to end:

> {figures.good_story}

and this is the first that does not:

> {figures.bad_story}

## Files

| File | Contents |
| --- | --- |
| `model.bin` | llama2.c version-0 checkpoint, fp32, classifier shared with the embedding |
| `tokenizer.bin` | llama2.c tokenizer, {vocab_size} tokens |
| `expected_greedy.json` | greedy continuations of four prompts over 128 positions, from the NumPy fp32 reference |

## Architecture

Llama-style decoder: RMSNorm (epsilon 1e-5), rotary positions on neighbouring pairs
(theta 10000), grouped-query attention, SwiGLU, embedding table shared with the
classifier.

| dim | hidden_dim | layers | heads | KV heads | head size | vocabulary | context |
| --- | --- | --- | --- | --- | --- | --- | --- |
| {dim} | {hidden_dim} | {n_layers} | {n_heads} | {n_kv_heads} | {head_size} | {vocab_size} | {seq_len} |

The tokenizer is byte-pair encoding with byte fallback: `<unk>`, `<s>` (id 1, before
every story), `</s>`, 256 byte tokens, the {characters} characters that occur in the stories,
then merges. Characters outside the stories are encoded as bytes the model was never
trained on.

## Data and grammar

The stories are written by a unification grammar in this repository
(`scripts/small_model/`): {plots} plots, {templates} sentence templates, {words} words. A story has
four to six sentences about one hero and one friend. Names, pronouns, plurals, colours,
kinds of animal and the articles "a" and "an" agree within a sentence and across the
story. No text from anywhere else was used.

Training: {stories:,} stories (seed {training_seed}). Held out: {held_out} stories (seed {held_out_seed}), of which
{seen} also occur among the training stories.

## Training

    apt-get install python3-torch libopenblas0
    scripts/train_small_model.py

AdamW (betas {betas}, weight decay {weight_decay}, gradient clip {clip}); {steps:,} steps of
{rows} rows of {seq_len} tokens, each row beginning with a fresh story; learning rate
rising over {warmup} steps to {peak} and falling by half a cosine to {final}; seed {seed};
fp32, one thread. It takes about a quarter of an hour on one core of an x86-64 server
processor. Without an optimised BLAS it takes many times longer.

The run is deterministic on one machine. On another type of processor, or with other
versions of PyTorch or BLAS, the bits of the weights may differ; the figures below then
differ slightly as well.

## Evaluation

`scripts/train_small_model.py --check` measures the committed files again with NumPy
alone. It fails if fewer than 80 % of sentences are accepted, if fewer than 95 % of words are
known, or if the greedy continuations are not reproduced.

| Measure | Value |
| --- | --- |
| Held-out perplexity per token | {ppl_token:.4f} (choices of the grammar itself: {grammar_token:.4f}) |
| Held-out perplexity per word | {ppl_word:.4f} (choices of the grammar itself: {grammar_word:.4f}) |
| Sampled sentences accepted by the grammar | {accepted:.1%} of {sentences} |
| Sampled words in the vocabulary | {known:.1%} of {sampled_words:,} |
| Whole sampled stories accepted | {stories_accepted:.1%} of {sampled_stories} |

Samples: temperature {temperature}, no truncation, seed {sampling_seed}. A sentence counts as accepted
if one template produces it exactly, spaces and punctuation included. A story counts if
one plot produces it with every agreement kept from beginning to end. The grammar's own
figures count all of the choices it made; they bound the best possible perplexity from
above.

## Limits

Sentences are its strong side, whole stories its weak one. It mostly keeps the hero's name
and pronoun and the thing the story is about, but it often gives the friend the hero's
name, or closes with the wrong animals; {stories_accepted:.0%} of sampled stories keep every agreement.

It knows the {words} words of its grammar and nothing about the world. It does not
follow instructions or answer questions. A prompt in any other style takes it out
of its depth. It was trained on at most {seq_len} positions.

## Licence

Apache-2.0, for the weights, the tokenizer and the scripts that make them.
"""


def write_card(path, config, recipe, figures, story_count, training_seed):
    """Write the card of a checkpoint."""
    stories = tales.tell_stories(story_count, training_seed)
    held_out = tales.tell_stories(HELD_OUT_STORIES, HELD_OUT_SEED)
    seen = len(set(held_out) & set(stories))
    characters = set().union(*stories)
    path.write_text(CARD.format(
        parameters=config.parameter_count(), figures=figures,
        temperature=TEMPERATURE, sampling_seed=SAMPLING_SEED, held_out_seed=HELD_OUT_SEED,
        dim=config.dim, hidden_dim=config.hidden_dim, n_layers=config.n_layers, n_heads=config.n_heads,
        n_kv_heads=config.n_kv_heads, head_size=config.head_size, vocab_size=config.vocab_size,
        seq_len=config.seq_len, characters=len(characters), plots=len(tales.PLOTS),
        templates=len(tales.SENTENCE_TEMPLATES), words=len(tales.VOCABULARY),
        stories=story_count, training_seed=training_seed, held_out=HELD_OUT_STORIES, seen=seen,
        betas=" and ".join(map(str, recipe.betas)), weight_decay=recipe.weight_decay,
        clip=recipe.gradient_clip, steps=recipe.steps, rows=recipe.batch_rows, warmup=recipe.warmup_steps,
        peak=recipe.peak_learning_rate, final=recipe.final_learning_rate, seed=recipe.seed,
        ppl_token=figures.perplexity_per_token, ppl_word=figures.perplexity_per_word,
        grammar_token=figures.grammar_per_token, grammar_word=figures.grammar_per_word,
        accepted=figures.sentences_accepted, sentences=figures.sentences,
        known=figures.words_known, sampled_words=figures.words,
        stories_accepted=figures.stories_accepted, sampled_stories=figures.stories,
    ))
