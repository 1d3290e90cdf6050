"""The stories of Little Tales: plots made of sentence templates, written and recognised."""

import random
import re
from dataclasses import dataclass

from .grammar import Reader, Writer, compile_template, with_articles_agreeing, words_of
from .lexicon import GRAMMAR

SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z\"])|(?<=[.!?]\") (?=[A-Z\"])")


@dataclass(frozen=True)
class Step:
    """One place in a plot: the sentences that may stand there, and how often one does."""

    templates: tuple
    chance: float = 1.0


def one_of(*templates):
    """A step that is always told, in one of several ways."""
    return Step(tuple(map(compile_template, templates)))


def perhaps(*templates):
    """A step that half of the stories leave out."""
    return Step(tuple(map(compile_template, templates)), chance=0.5)


def or_else(step, *templates):
    """The same step with more ways to tell it."""
    return Step(step.templates + tuple(map(compile_template, templates)), step.chance)


OPENING = one_of(
    "Once there was a {trait} {kind:hero} named {name:hero} who lived {home}.",
    "Once upon a time, a {trait} {kind:hero} named {name:hero} lived {home}.",
    "There was once a {trait} {kind:hero} called {name:hero}, and {he:hero} lived {home}.",
    "Long ago, a {trait} {kind:hero} named {name:hero} lived {home}.",
)

HAPPY_END = one_of(
    "From that day on, {name:hero} and {name:friend} were the best of friends.",
    "They walked home together {sky}, and both of them were very {feeling}.",
    "That night, {name:hero} fell asleep with a smile, for it had been a {lovely} day.",
    "\"This was the best day of all,\" said {name:friend}, and {name:hero} {agreed}.",
    "When the moon rose, the {kind:hero} and the {kind:friend} said good night and went to bed.",
    "{Name:hero} was very {feeling}, and {he:hero} never forgot that {lovely} day.",
)

FOUND_A_TOY = (
    OPENING,
    one_of(
        "{Time}, {he:hero} {went} {to_place:walk} and found {some_toy:gift} {hiding_place}.",
        "{Time}, {name:hero} found {some_toy:gift} {hiding_place} {at_place:walk}.",
        "{Time}, there {was:gift} {some_toy:gift} lying {hiding_place} {at_place:walk}.",
    ),
    perhaps(
        "\"{What_a_toy:gift}!\" said {name:hero}.",
        "{He:hero} had never seen {such_a_toy:gift} before.",
        "{Name:hero} picked {it:gift} up and looked at {it:gift} for a long time.",
    ),
    one_of(
        "{He:hero} showed the {toy:gift} to {his:hero} friend {name:friend} the {kind:friend}.",
        "Soon {name:friend} the {kind:friend} came along and asked, \"May I play with you?\"",
        "\"May I see your {toy:gift}?\" asked {name:friend} the {kind:friend}.",
    ),
    one_of(
        "{Name:hero} and {name:friend} played with the {toy:gift} {until}.",
        "The two of them played with the {toy:gift} {all_day}.",
        "They took turns with the {toy:gift} {until}.",
    ),
    HAPPY_END,
)

LOST_A_TREASURE = (
    OPENING,
    one_of(
        "{Time}, {he:hero} could not find {his:hero} {my_treasure:gift}.",
        "{Time}, {name:hero} lost {his:hero} {my_treasure:gift} and was very {gloomy}.",
        "{Time}, {he:hero} {went} {to_place:loss} and lost {his:hero} {my_treasure:gift} on the way.",
    ),
    perhaps(
        "{He:hero} looked {spot:first} and {spot:second}, but the {treasure:gift} {was:gift} not there.",
        "{Name:hero} looked {spot:first}, {spot:second} and {spot:third}, but {it_subject:gift} {was:gift} gone.",
    ),
    one_of(
        "So {he:hero} asked {name:friend} the {kind:friend} for help.",
        "{Name:friend} the {kind:friend} heard {him:hero} crying and came to help.",
        "\"I think I saw {it:gift} {at_place:walk},\" said {name:friend} the {kind:friend}.",
    ),
    one_of(
        "Together they searched {all_day} and found the {treasure:gift} {hiding_place} {at_place:walk}.",
        "They went {to_place:walk}, and there {was:gift} the {treasure:gift}, {hiding_place}.",
    ),
    HAPPY_END,
)

BAKED_A_TREAT = (
    OPENING,
    one_of(
        "{Time}, {he:hero} wanted to make {a_dish:meal} for {his:hero} friend {name:friend} the {kind:friend}.",
        "{Time}, {name:hero} made {a_dish:meal} and asked {name:friend} the {kind:friend} to come for dinner.",
    ),
    perhaps(
        "There was no {missing_food:need} in the kitchen, so {he:hero} went to the market to buy some.",
        "{He:hero} went to the market and came back with {fruit:one} and {fruit:two}.",
    ),
    one_of(
        "When the {dish:meal} {was:meal} ready, the whole house smelled {wonderful}.",
        "The {dish:meal} {was:meal} so good that {name:friend} ate {count} plates and asked for more.",
        "\"The {dish:meal} {was:meal} {wonderful},\" said {name:friend}, and {name:hero} {agreed}.",
    ),
    perhaps("They ate {it:meal} at the table, drank {drink} and {fun} {until}."),
    HAPPY_END,
)

CAUGHT_IN_A_STORM = (
    OPENING,
    one_of(
        "{Time}, {he:hero} was {doing} {at_place:walk} when {storm:sky}.",
        "{Time}, {name:hero} {went} {to_place:walk}, but on the way {storm:sky}.",
    ),
    perhaps(
        "The {weather:sky} grew stronger and stronger, and {name:hero} was cold and {gloomy}.",
        "{He:hero} hid {hiding_place}, but the {weather:sky} did not stop.",
        "\"I cannot find the way home,\" {said_softly} {name:hero}.",
    ),
    one_of(
        "Then {name:friend} the {kind:friend} opened a door and said, \"Come inside and get warm!\"",
        "At last {he:hero} saw a light in the window of {name:friend} the {kind:friend}.",
    ),
    one_of(
        "They sat by the fire, drank hot {drink} and {fun} until the {weather:sky} stopped.",
        "{Name:friend} gave {him:hero} a cup of hot {drink} and a soft {colour} blanket.",
    ),
    HAPPY_END,
)

WENT_ON_A_JOURNEY = (
    OPENING,
    one_of(
        "More than anything, {he:hero} wanted to see the {sight:goal}.",
        "{Name:hero} had never seen the {sight:goal}, and {he:hero} dreamed of it every night.",
    ),
    one_of(
        "{Time}, {he:hero} packed {picnic} and set off with {his:hero} friend {name:friend} the {kind:friend}.",
        "{Time}, {name:friend} the {kind:friend} said, \"Let us go and find the {sight:goal} together!\"",
    ),
    perhaps(
        "They walked {way:first} and {way:second} for {count} days.",
        "They went {way:first}, {way:second} and {way:third}, and they {fun} on the way.",
    ),
    one_of(
        "When they saw the {sight:goal} at last, {name:hero} {cheered}.",
        "\"The {sight:goal} is more beautiful than I dreamed,\" {said_softly} {name:hero}.",
        "At last they saw the {sight:goal}, and {name:friend} {cheered}.",
    ),
    HAPPY_END,
)

HELPED_A_STRANGER = (
    OPENING,
    one_of(
        "{Time}, {he:hero} met a {trait} {kind:friend} named {name:friend} who was crying {at_place:walk}.",
        "{Time}, {name:hero} saw a {trait} {kind:friend} named {name:friend} sitting alone {at_place:walk}.",
    ),
    perhaps(
        "\"Why are you so {gloomy}?\" asked {name:hero}.",
        "\"What is the matter?\" asked the {kind:hero}.",
    ),
    one_of(
        "\"I have lost my {my_treasure:gift},\" said {name:friend}, \"and I cannot find {it:gift}.\"",
        "\"My {my_treasure:gift} fell into the water,\" said the {kind:friend}.",
    ),
    one_of(
        "{Name:hero} looked everywhere until {he:hero} found the {treasure:gift} {hiding_place}.",
        "\"Do not worry, I will help you,\" said {name:hero}, and soon {he:hero} found the {treasure:gift}.",
        "The two of them searched {all_day} until the {treasure:gift} {was:gift} found.",
    ),
    or_else(HAPPY_END, "\"Thank you, {name:hero}!\" said {name:friend}, and {he:friend} {cheered}."),
)

BUILT_SOMETHING = (
    OPENING,
    one_of(
        "{Time}, {he:hero} wanted to build a {project:work}, but {he:hero} could not do it alone.",
        "{Name:hero} dreamed of a {project:work} that was big and strong.",
    ),
    one_of(
        "{Name:friend} the {kind:friend} came to help and brought {tools}.",
        "So {he:hero} asked {name:friend} the {kind:friend}, who came with {tools}.",
    ),
    one_of(
        "They worked {all_day}, and at last the {project:work} was ready.",
        "{Name:hero} and {name:friend} worked for {count} days, and they {fun} every evening.",
    ),
    perhaps(
        "They painted the {project:work} {colour:one} and {colour:two}.",
        "\"What a {lovely} {project:work}!\" said {name:friend}.",
    ),
    HAPPY_END,
)

GREW_A_GARDEN = (
    OPENING,
    one_of(
        "In the spring, {he:hero} planted {flowers:bed} in the garden behind the house.",
        "{Time}, {name:hero} planted some {flowers:bed} next to the door.",
    ),
    perhaps(
        "Every morning {he:hero} gave them water and sang to them.",
        "Every evening {name:hero} looked out of the window to see how they grew.",
    ),
    one_of(
        "When summer came, the {flowers:bed} were {colour:one} and {colour:two}.",
        "After {count} weeks, the first {flowers:bed} opened in the sun.",
    ),
    one_of(
        "\"How did you grow such {lovely} {flowers:bed}?\" asked {name:friend} the {kind:friend}.",
        "{Name:hero} gave the {flowers:bed} to {his:hero} friend {name:friend} the {kind:friend}.",
        "{Name:friend} the {kind:friend} came by and said, \"What {lovely} {flowers:bed}!\"",
    ),
    HAPPY_END,
)

PLOTS = (
    FOUND_A_TOY, LOST_A_TREASURE, BAKED_A_TREAT, CAUGHT_IN_A_STORM,
    WENT_ON_A_JOURNEY, HELPED_A_STRANGER, BUILT_SOMETHING, GREW_A_GARDEN,
)

SENTENCE_TEMPLATES = tuple({
    template: None for plot in PLOTS for step in plot for template in step.templates
})
VOCABULARY = GRAMMAR.words(SENTENCE_TEMPLATES)


def sentences_of(text):
    """The sentences of a text."""
    return SENTENCE_END.split(text)


def tell_story(writer):
    """One story of a plot chosen at random."""
    sentences, bindings = [], {}
    for step in writer.choose(PLOTS, [1] * len(PLOTS)):
        told = step.chance == 1 or writer.choose((True, False), (step.chance, 1 - step.chance))
        if told:
            template = writer.choose(step.templates, [1] * len(step.templates))
            sentence, bindings = writer.write(template, bindings)
            sentences.append(with_articles_agreeing(sentence))
    return " ".join(sentences)


def tell_stories(count, seed):
    """A list of stories, always the same for the same seed."""
    return tell_stories_with_surprise(count, seed)[0]


def tell_stories_with_surprise(count, seed):
    """Stories, and the negative log-probability (in nats) of all the choices that made them."""
    writer = Writer(GRAMMAR, random.Random(seed))
    return [tell_story(writer) for _ in range(count)], -writer.log_probability


def is_sentence(text):
    """Whether some sentence template of some plot could have produced the text."""
    reader = Reader(GRAMMAR)
    return any(reader.accepts(template, text) for template in SENTENCE_TEMPLATES)


def is_story(text):
    """Whether one plot, with all of its agreements across sentences, could have produced the text."""
    reader, sentences = Reader(GRAMMAR), sentences_of(text)
    return any(_tells_plot(reader, plot, sentences, {}) for plot in PLOTS)


def _tells_plot(reader, steps, sentences, bindings):
    if not steps:
        return not sentences
    step, later_steps = steps[0], steps[1:]
    if step.chance < 1 and _tells_plot(reader, later_steps, sentences, bindings):
        return True
    return bool(sentences) and any(
        _tells_plot(reader, later_steps, sentences[1:], extended)
        for template in step.templates
        for extended in reader.readings(template, sentences[0], bindings)
    )


def words_in_vocabulary(text):
    """How many words of a text the grammar knows, and how many words there are."""
    words = words_of(text)
    return sum(word.lower() in VOCABULARY for word in words), len(words)
