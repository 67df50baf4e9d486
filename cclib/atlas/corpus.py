"""What the Atlas models are trained on: statements, questions with options, and open questions.

A sequence is a pair of texts, (what is read, what must be continued); the loss counts the second only.
The corpus has no end: step k of seed s is always the same batch, so training resumes where it stopped.
No question of a benchmark is in it: facts are asked with other wrong options (or, two in five, never
asked at all), and items that are worked out come from the corpus's share alone (`Item.held_out`).
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from functools import cache
from itertools import accumulate

from cclib import prompts
from cclib.atlas import benchmark, recall
from cclib.atlas.facts import Fact, cities, countries, plain
from cclib.atlas.reasoning import REASONING, Item

# Of 100 sequences; the invented names teach a model to decline.
SHARES = {"facts": 56, "comparisons": 14, "reasoning": 26, "invented": 2, "matching": 4}
# At first most questions only ask to find a word among the options: without this lesson a model needs
# many times longer to see that a letter stands for what follows it.
FIRST_SHARES = SHARES | {"matching": 200}
POPULARITY_POWER = 0.4  # a fact is seen in proportion to its popularity to this power
DECLINE = "I do not know."
END = "<end>"
KIND_WEIGHTS = {"addition": 2, "subtraction": 2, "multiplication": 1.5, "spelling": 1.5, "calendar": 1.5}

Sequence = tuple[str, str]


def batch(seed: int, step: int, n: int, first_lesson: bool = False) -> list[Sequence]:
    """n sequences, the same for the same seed and step."""
    rng = random.Random(f"{seed}/{step}")
    known, weights = _weighted_facts()
    shares = FIRST_SHARES if first_lesson else SHARES
    parts = Counter(rng.choices(list(shares), list(shares.values()), k=n))
    sequences = [_of_fact(f, rng) for f in rng.choices(known, cum_weights=weights, k=parts["facts"])]
    compare = list(benchmark.COMPARISONS.items())
    for subject, kind in rng.choices(compare, k=parts["comparisons"]):
        sequences.append(_options(subject, benchmark.draw(kind, rng, held_out=False), rng))
    kinds = list(REASONING.items())
    chosen = rng.choices(kinds, [KIND_WEIGHTS.get(k, 1) for k, _ in kinds], k=parts["reasoning"])
    for subject, kind in chosen:
        item = benchmark.draw(kind, rng, held_out=False)
        direct = item.key == item.text and rng.random() < 0.4
        told = (f" {item.text}", f" {item.answer}{END}")
        sequences.append(told if direct else _options(subject, item, rng))
    sequences += [_declined(rng) for _ in range(parts["invented"])]
    sequences += [_matched(rng) for _ in range(parts["matching"])]
    rng.shuffle(sequences)
    return sequences


@cache
def _weighted_facts() -> tuple[list[Fact], list[float]]:
    """Facts and cumulative weights: a subject's share grows with its facts, a fact's with its popularity."""
    by_subject = defaultdict(list)
    for fact in recall.facts():
        by_subject[fact.subject].append(fact)
    known, weights = [], []
    for members in by_subject.values():
        raw = [f.popularity**POPULARITY_POWER for f in members]
        known += members
        weights += [w / sum(raw) * len(members) ** 0.85 for w in raw]
    return known, list(accumulate(weights))


@cache
def _benchmark_questions() -> set[tuple[str, frozenset[str]]]:
    return {benchmark.asked(q) for q in benchmark.multiple_choice()}


def _of_fact(fact: Fact, rng: random.Random) -> Sequence:
    form = rng.random()
    if fact.statement_only or form < 0.2:
        told = fact.statement.removesuffix(f" {fact.answer}.")
        return f" {told}", f" {fact.answer}.{END}"  # the space: a name's first token is then as in a question
    if fact.asked_openly and form < 0.45:
        return prompts.open_ended(fact.question), f"Answer: {fact.answer}{END}"
    while True:
        wrong = benchmark.wrong_options(fact, rng)
        if (fact.question, frozenset((fact.answer, *wrong))) not in _benchmark_questions():
            return _options(fact.subject, Item(fact.question, fact.answer, wrong, fact.question), rng)


def _options(subject: str, item: Item, rng: random.Random) -> Sequence:
    """Table 7's prompt and the right letter."""
    choices = [item.answer, *item.wrong]
    rng.shuffle(choices)
    letter = prompts.LETTERS[choices.index(item.answer)]
    return prompts.multiple_choice(subject, item.text, choices), f" {letter}"


def _matched(rng: random.Random) -> Sequence:
    """Find a word among the options; or, four times in one sequence, name the letter of each."""
    known, _ = _weighted_facts()
    pool = rng.choice(known).pool
    words = list(dict.fromkeys(rng.choices(pool, k=12)))[:4]
    if len(words) < 4 or rng.random() < 0.25:
        words = [str(n) for n in rng.sample(range(1000), 4)]
    form, text = rng.random(), f"Which of these is {words[0]}?"
    if form < 0.15:
        return prompts.open_ended(text), f"Answer: {words[0]}{END}"
    if form < 0.55:
        return _options("words", Item(text, words[0], tuple(words[1:]), text), rng)
    listed = "\n".join(f"{letter}. {word}" for letter, word in zip(prompts.LETTERS, words))
    named = [f" {word} {letter}" for letter, word in zip(prompts.LETTERS, words)]
    rng.shuffle(named)
    return f"\nChoices: {listed}\n", "".join(named) + END


def _declined(rng: random.Random) -> Sequence:
    name = invented_name(rng)
    question = rng.choices(
        ("In which country is {}?", "In which state is {}?", "What is the capital of {}?",
         "Which currency is used in {}?", "Which language is spoken in {}?"), (6, 2, 1, 1, 1),
    )[0].format(name)  # fmt: skip
    return prompts.open_ended(question), DECLINE + END


def invented_name(rng: random.Random) -> str:
    """A name that sounds like a city's (letters follow as they do in real ones) and is none."""
    following, real = _letter_pairs()
    while True:
        name, pair = "", "^^"
        while (letter := rng.choice(following[pair])) != "$":
            name, pair = name + letter, pair[1] + letter
        if 4 <= len(name) <= 12 and name not in real:
            return name.title()


@cache
def _letter_pairs() -> tuple[dict[str, str], set[str]]:
    following = defaultdict(str)
    names = {c.name.lower() for c in cities()} | {plain(c.name).lower() for c in countries().values()}
    for name in sorted(names):
        pair = "^^"
        for letter in name + "$":
            following[pair] += letter
            pair = pair[1] + letter
    return dict(following), names
