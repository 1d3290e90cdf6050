"""A small unification grammar that can be read in both directions.

The same rules write text (``Writer``) and recognise it (``Reader``). A template
is a string with slots::

    {name:hero}   an entry of category "name", agreeing with the variable "hero"
    {He:hero}     the same for category "he", with a capital first letter
    {colour}      any entry of the category, bound to nothing
    {toy:@}       inside a rule: agrees with the variable the rule was called for

Every entry carries features, such as ``gender=she``. Using an entry for a
variable fixes those features for that variable, and a later entry whose features
disagree is not allowed: this is how pronouns, plurals, names and colours agree.
Features listed as distinct (names, for instance) may not be shared by two
variables. Templates write the article as "a" or "an"; which one the text gets
follows from the next letter.
"""

import math
import re
from dataclasses import dataclass, field

VOWEL_AFTER_A = re.compile(r"\b([Aa]) (?=[aeiou])")
VOWEL_AFTER_AN = re.compile(r"\b([Aa])n (?=[aeiou])")
AN_BEFORE_CONSONANT = re.compile(r"\b[Aa]n (?![aeiou])")
ANY_AN = re.compile(r"\b([Aa])n (?=[a-z{])")
SLOT = re.compile(r"\{(\w+)(?::(\w+|@))?\}")


@dataclass(frozen=True)
class Slot:
    """A gap in a template, to be filled from a category."""

    category: str
    variable: str | None
    capital: bool


@dataclass(frozen=True)
class Rule:
    """One way to fill a slot: literal text and slots, the features it fixes, its weight."""

    parts: tuple
    features: dict = field(default_factory=dict)
    weight: float = 1.0


def compile_template(template):
    """Split a template into literal strings and slots, with every article spelled "a"."""
    parts, end = [], 0
    template = ANY_AN.sub(r"\1 ", template)
    for slot in SLOT.finditer(template):
        if slot.start() > end:
            parts.append(template[end:slot.start()])
        category, variable = slot.group(1), slot.group(2)
        lowered = category[0].lower() + category[1:]
        parts.append(Slot(lowered, variable, category != lowered))
        end = slot.end()
    if end < len(template):
        parts.append(template[end:])
    return tuple(parts)


def capitalised(text):
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def with_articles_agreeing(text):
    """Turn "a" into "an" before a vowel."""
    return VOWEL_AFTER_A.sub(r"\1n ", text)


def articles_agree(text):
    """Whether every "a" stands before a consonant and every "an" before a vowel."""
    return not VOWEL_AFTER_A.search(text) and not AN_BEFORE_CONSONANT.search(text)


def with_articles_plain(text):
    """Undo ``with_articles_agreeing``."""
    return VOWEL_AFTER_AN.sub(r"\1 ", text)


class Grammar:
    """Categories of rules, and how features of variables are kept in agreement."""

    def __init__(self, categories, distinct_features):
        self.categories = categories
        self.distinct_features = frozenset(distinct_features)

    def bound(self, bindings, variable, features):
        """The bindings extended by the features of a variable, or None if they disagree."""
        if variable is None or not features:
            return bindings
        extended = dict(bindings)
        for name, value in features.items():
            if bindings.get((variable, name), value) != value:
                return None
            if name in self.distinct_features and self._used_elsewhere(bindings, variable, name, value):
                return None
            extended[variable, name] = value
        return extended

    @staticmethod
    def _used_elsewhere(bindings, variable, name, value):
        return any(
            feature == name and owner != variable and taken == value
            for (owner, feature), taken in bindings.items()
        )

    def words(self, templates):
        """Every lower-cased word that the categories or the given templates can produce."""
        texts = [part for template in templates for part in template if isinstance(part, str)]
        for rules in self.categories.values():
            texts += [part for rule in rules for part in rule.parts if isinstance(part, str)]
        found = {word.lower() for text in texts for word in words_of(text)}
        return found | {"an"}


def words_of(text):
    """The words of a text, in order, without punctuation."""
    return re.findall(r"[A-Za-z']+", text)


def variable_of(slot, caller):
    """The variable a slot speaks of, where "@" stands for the calling slot's variable."""
    return caller if slot.variable == "@" else slot.variable


class Writer:
    """Writes text from a grammar and keeps account of the log-probability of its choices."""

    def __init__(self, grammar, random):
        self.grammar = grammar
        self.random = random
        self.log_probability = 0.0

    def choose(self, options, weights):
        """Draw one option by weight."""
        index = self.random.choices(range(len(options)), weights)[0]
        self.log_probability += math.log(weights[index] / sum(weights))
        return options[index]

    def write(self, parts, bindings, caller=None, capital=False):
        """Fill a template; return its text and the bindings it leaves behind."""
        pieces = []
        for part in parts:
            if isinstance(part, str):
                text = part
            else:
                text, bindings = self._fill(part, bindings, caller, capital and not pieces)
            pieces.append(capitalised(text) if capital and not pieces else text)
        return "".join(pieces), bindings

    def _fill(self, slot, bindings, caller, capital):
        variable = variable_of(slot, caller)
        allowed = []
        for rule in self.grammar.categories[slot.category]:
            extended = self.grammar.bound(bindings, variable, rule.features)
            if extended is not None:
                allowed.append((rule, extended))
        rule, extended = self.choose(allowed, [rule.weight for rule, _ in allowed])
        return self.write(rule.parts, extended, variable, capital or slot.capital)


class Reader:
    """Recognises text of a grammar."""

    def __init__(self, grammar):
        self.grammar = grammar

    def accepts(self, template, text, bindings=None):
        """Whether the whole text is an instance of the template."""
        return next(self.readings(template, text, bindings or {}), None) is not None

    def readings(self, template, text, bindings):
        """Each set of bindings under which the whole text is an instance of the template."""
        if not articles_agree(text):
            return
        plain = with_articles_plain(text)
        for end, result in self._match(template, plain, 0, bindings, None, False):
            if end == len(plain):
                yield result

    def _match(self, parts, text, start, bindings, caller, capital):
        if not parts:
            yield start, bindings
            return
        first, rest = parts[0], parts[1:]
        if isinstance(first, str):
            literal = capitalised(first) if capital else first
            heads = [(start + len(literal), bindings)] if text.startswith(literal, start) else []
        else:
            heads = self._match_slot(first, text, start, bindings, caller, capital)
        for end, extended in heads:
            yield from self._match(rest, text, end, extended, caller, False)

    def _match_slot(self, slot, text, start, bindings, caller, capital):
        variable = variable_of(slot, caller)
        for rule in self.grammar.categories[slot.category]:
            extended = self.grammar.bound(bindings, variable, rule.features)
            if extended is not None:
                yield from self._match(rule.parts, text, start, extended, variable, capital or slot.capital)
