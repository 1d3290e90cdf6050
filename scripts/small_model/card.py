"""The model card, written from the figures of the checkpoint it describes."""

from . import tales
from .card_families import family_of
from .collection import TRAINING_SEED, TRAINING_STORIES
from .evaluation import HELD_OUT_SEED, HELD_OUT_STORIES, REQUIRED_WORDS_KNOWN, SAMPLING_SEED, TEMPERATURE
from .speculation import GREEDY_STORIES

CARD = """\
# {family.title}

{family.introduction}

{samples}

## Files

| File | Contents |
| --- | --- |
{family.files}
| `expected_greedy.json` | greedy continuations of four prompts over 128 positions, from the NumPy fp32 reference |

## Architecture

{family.architecture}

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
    scripts/train_small_model.py{argument}

AdamW (betas {betas}, weight decay {weight_decay}, gradient clip {clip}); {steps:,} steps of
{rows} rows of {seq_len} tokens, each row beginning with a fresh story; learning rate
rising over {warmup} steps to {peak} and falling by half a cosine to {final}; seed {seed};
fp32, one thread. {family.duration} on one core of an x86-64 server
processor. Without an optimised BLAS it takes many times longer.{family.losses}

The run is deterministic on one machine. On another type of processor, or with other
versions of PyTorch or BLAS, the bits of the weights may differ; the figures below then
differ slightly as well.

## Evaluation

`scripts/train_small_model.py{argument} --check` measures the committed files again with NumPy
alone. It fails if fewer than {required_sentences:.0f} % of sentences are accepted, if fewer than {required_words:.0f} % of words are
known, or if the greedy continuations or the figures below are not reproduced.

{measures}

Samples: temperature {temperature}, no truncation, seed {sampling_seed}. A sentence counts as accepted
if one template produces it exactly, spaces and punctuation included. A story counts if
one plot produces it with every agreement kept from beginning to end. The grammar's own
figures count all of the choices it made; they bound the best possible perplexity from
above.
{speculation}
## Limits

{family.limits}

It knows the {words} words of its grammar and nothing about the world. It does not
follow instructions or answer questions. A prompt in any other style takes it out
of its depth. It was trained on at most {seq_len} positions.

## Licence

Apache-2.0, for the weights, the tokenizer and the scripts that make them.
"""

BOTH_SAMPLES = """\
Sampled at temperature {temperature} with seed {sampling_seed}, this is the first story that keeps every
agreement from beginning to end:

> {figures.good_story}

and this is the first that does not:

> {figures.bad_story}"""

BROKEN_SAMPLE = """\
Sampled at temperature {temperature} with seed {sampling_seed}, no story keeps every agreement from
beginning to end; this is the first:

> {figures.bad_story}"""

MEASURES = """\
| Measure | Value |
| --- | --- |
| Held-out perplexity per token | {figures.perplexity_per_token:.4f} (choices of the grammar itself: {figures.grammar_per_token:.4f}) |
| Held-out perplexity per word | {figures.perplexity_per_word:.4f} (choices of the grammar itself: {figures.grammar_per_word:.4f}) |
| Sampled sentences accepted by the grammar | {figures.sentences_accepted:.1%} of {figures.sentences} |
| Sampled words in the vocabulary | {figures.words_known:.1%} of {figures.words:,} |
| Whole sampled stories accepted | {figures.stories_accepted:.1%} of {figures.stories} |"""

SPECULATION = """
## {heading}

| Measure | Value |
| --- | --- |
| Same likeliest token as {other}, held-out stories | {agreement.held_out:.1%} |
| The same along greedy text: drafts accepted | {agreement.greedy:.1%} |
| Greedy tokens per round of {drafts} | {agreement.tokens_per_round:.2f} |

Held-out stories are read token by token; greedy text is what {target} writes after the
first sentence of each of {stories} held-out stories. A round is one verification; it gives the
drafts up to the first wrong one and one token more.
"""


def speculation_section(name, model, agreement):
    """The section about drafts, of a drafter or of a model with a module; none of others."""
    if agreement is None:
        return ""
    count = f"{agreement.drafts} draft" + ("s" if agreement.drafts > 1 else "")
    target = f"`{model.target or name}`"
    return SPECULATION.format(
        heading=f"Drafting for {target}" if model.target else "Module of multi-token prediction",
        other=target if model.target else "the model has one token later", target=target,
        agreement=agreement, drafts=count, stories=GREEDY_STORIES)


def samples_of(figures):
    """Sampled stories, good and bad."""
    template = BOTH_SAMPLES if figures.stories_accepted else BROKEN_SAMPLE
    return template.format(temperature=TEMPERATURE, sampling_seed=SAMPLING_SEED, figures=figures)


def write_card(path, name, model, recipe, figures, agreement):
    """Write the card of a checkpoint."""
    stories = tales.tell_stories(TRAINING_STORIES, TRAINING_SEED)
    held_out = tales.tell_stories(HELD_OUT_STORIES, HELD_OUT_SEED)
    family = family_of(name, model, figures)
    path.write_text(CARD.format(
        family=family, samples=samples_of(figures), measures=MEASURES.format(figures=figures),
        speculation=speculation_section(name, model, agreement),
        argument="" if name == "little_tales" else f" {name}",
        temperature=TEMPERATURE, sampling_seed=SAMPLING_SEED, held_out_seed=HELD_OUT_SEED,
        seq_len=family.context, characters=len(set().union(*stories)), plots=len(tales.PLOTS),
        templates=len(tales.SENTENCE_TEMPLATES), words=len(tales.VOCABULARY),
        stories=TRAINING_STORIES, training_seed=TRAINING_SEED, held_out=HELD_OUT_STORIES,
        seen=len(set(held_out) & set(stories)),
        required_sentences=100 * model.required_sentences, required_words=100 * REQUIRED_WORDS_KNOWN,
        betas=" and ".join(map(str, recipe.betas)), weight_decay=recipe.weight_decay,
        clip=recipe.gradient_clip, steps=recipe.steps, rows=recipe.batch_rows, warmup=recipe.warmup_steps,
        peak=recipe.peak_learning_rate, final=recipe.final_learning_rate, seed=recipe.seed,
    ))


def card_says(path, name, model, figures, agreement):
    """Whether a card has just these figures."""
    text = path.read_text()
    return MEASURES.format(figures=figures) in text and speculation_section(name, model, agreement) in text
