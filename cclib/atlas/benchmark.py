"""The three benchmarks, put together from facts and from items that are worked out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cache, partial
from operator import attrgetter

from cclib.atlas import recall
from cclib.atlas.facts import SEED, Fact, countries, known_cities
from cclib.atlas.reasoning import DAYS, REASONING, Item
from cclib.questions import Question

COMPARISONS: dict[str, Callable[[random.Random], Item]] = {
    "most_people": recall.most_people,
    "northernmost": recall.northernmost,
    "largest_country": recall.largest_country,
}
COUNTS = {"most_people": 1150, "northernmost": 1150, "largest_country": 1150} | {
    "addition": 300, "subtraction": 300, "multiplication": 250, "ordering": 350, "sequences": 300,
    "calendar": 400, "units": 250, "alphabet": 300, "spelling": 350, "counting": 300,
}  # fmt: skip
OOD_COUNT = 64  # of each of the seven kinds
OPEN_COUNT = 1400


def wrong_options(fact: Fact, rng: random.Random) -> tuple[str, ...]:
    """Three different wrong answers, drawn from the answers to questions like this one."""
    if len({*fact.pool} - {fact.answer}) < 3:
        raise ValueError(f"{fact.question!r} has fewer than three wrong answers: {fact.pool}")
    chosen: list[str] = []
    while len(chosen) < 3:
        other = rng.choice(fact.pool)
        if other != fact.answer and other not in chosen:
            chosen.append(other)
    return tuple(chosen)


def draw(kind: Callable[[random.Random], Item], rng: random.Random, held_out: bool) -> Item:
    """An item of the benchmark's share, or of the corpus's."""
    while (item := kind(rng)).held_out != held_out:
        pass
    return item


def asked(question: Question) -> tuple[str, frozenset[str]]:
    """What makes two questions the same, whatever the order of their options."""
    return question.text, frozenset(question.choices)


@cache
def multiple_choice() -> list[Question]:
    """The benchmark "atlas", subject by subject."""
    by_subject: dict[str, dict] = {}
    rng = random.Random(SEED)
    for fact in recall.facts():
        item = Item(fact.question, fact.answer, wrong_options(fact, rng), fact.question, fact.popularity)
        by_subject.setdefault(fact.subject, {})[fact.question, fact.answer] = item
    for subject, kind in (COMPARISONS | REASONING).items():
        rng = random.Random(f"{SEED}/{subject}")
        unique: dict[str, Item] = {}
        while len(unique) < COUNTS[subject]:
            item = draw(kind, rng, held_out=True)
            unique.setdefault(item.key, item)
        by_subject[subject] = unique
    questions = []
    for subject, items in by_subject.items():
        questions += _ordered(subject, items.values(), "atlas", random.Random(f"{SEED}/order/{subject}"))
    return questions


def _ordered(subject: str, items: Iterable[Item], name: str, rng: random.Random) -> list[Question]:
    """Questions with shuffled options, each place right equally often (within one)."""
    items = list(items)
    places = [i % 4 for i in range(len(items))]
    rng.shuffle(places)
    questions = []
    for i, (item, place) in enumerate(zip(items, places)):
        options = rng.sample(item.wrong, 3)
        options.insert(place, item.answer)
        questions.append(
            Question(
                f"{name}/{subject}/{i}", subject, item.text, tuple(options), place, popularity=item.popularity
            )
        )
    return questions


@cache
def out_of_distribution() -> list[Question]:
    """The benchmark "atlas-ood": kinds of question that are never trained, most of them in two steps."""
    questions = []
    for subject, kind in OOD.items():
        rng = random.Random(f"{SEED}/{subject}")
        unique: dict[str, Item] = {}
        while len(unique) < OOD_COUNT:
            item = kind(rng)
            unique.setdefault(item.key, item)
        questions += _ordered(subject, unique.values(), "atlas-ood", rng)
    return questions


def _same_country(rng: random.Random) -> Item:
    places = known_cities()[:1500]
    while True:
        city = rng.choice(places)
        near = [c for c in places if c.region == city.region and c.country != city.country]
        friends = [c for c in places if c.country == city.country and c != city]
        if friends:
            text = f"Which city is in the same country as {city.name}?"
            wrong = tuple(c.name for c in rng.sample(near, 3))
            return Item(text, rng.choice(friends).name, wrong, text, city.population)


def _of_the_country(what: str, field: str, rng: random.Random) -> Item:
    of = attrgetter(field)
    nations = countries()
    while True:
        city = rng.choice(known_cities()[:1500])
        answer = of(nations[city.country])
        near = sorted({of(c) for c in nations.values() if c.region == city.region} - {answer, city.name})
        if answer != city.name and len(near) >= 3:
            text = f"What is the {what} of the country of {city.name}?"
            return Item(text, answer, tuple(rng.sample(near, 3)), text, city.population)


def _not_a_neighbour(rng: random.Random) -> Item:
    nations = countries()
    while True:
        country = rng.choice([c for c in nations.values() if len(c.neighbours) >= 3])
        beside = [nations[n].name for n in country.neighbours if n in nations]
        apart = [c.name for c in nations.values() if c.region == country.region and c.name not in beside]
        apart.remove(country.name)
        if len(beside) >= 3 and apart:
            text = f"Which country does not border {country.name}?"
            wrong = tuple(rng.sample(beside, 3))
            return Item(text, rng.choice(apart), wrong, text + str(sorted(wrong)), country.population)


def _three_terms(rng: random.Random) -> Item:
    a, b, c = (rng.randrange(11, 100) for _ in range(3))
    if a + b < c:
        return _three_terms(rng)
    answer, text = a + b - c, f"What is {a} + {b} - {c}?"
    near = sorted({abs(answer + d) for d in (-10, -2, -1, 1, 2, 10)} - {answer})
    return Item(text, str(answer), tuple(map(str, rng.sample(near, 3))), text)


def _backwards(rng: random.Random) -> Item:
    word = rng.choice([c.name for c in known_cities()[:1500] if c.name.isalpha() and 4 <= len(c.name) <= 7])
    right = word.lower()[::-1]
    text, wrong = f"What is {word} spelled backwards?", set()
    for _ in range(50):
        i = rng.randrange(len(right) - 1)
        swapped = right[:i] + right[i + 1] + right[i] + right[i + 2 :]
        if swapped != right:
            wrong.add(swapped)
    if len(wrong) < 3:
        return _backwards(rng)
    return Item(text, right, tuple(rng.sample(sorted(wrong), 3)), text)


def _two_shifts(rng: random.Random) -> Item:
    start, n, m = rng.randrange(7), rng.randrange(2, 20), rng.randrange(2, 20)
    answer = DAYS[(start + n - m) % 7]
    text = f"Which day is {n} days after the day {m} days before {DAYS[start]}?"
    return Item(text, answer, tuple(rng.sample([d for d in DAYS if d != answer], 3)), text)


OOD: dict[str, Callable[[random.Random], Item]] = {
    "same_country": _same_country,
    "capital_of_the_country": partial(_of_the_country, "capital", "capital"),
    "domain_of_the_country": partial(_of_the_country, "internet domain", "domain"),
    "not_a_neighbour": _not_a_neighbour,
    "three_terms": _three_terms,
    "backwards": _backwards,
    "two_shifts": _two_shifts,
}


@cache
def open_ended() -> list[Question]:
    """The benchmark "atlas-open": facts that were taught as statements only, asked without options."""
    told = [f for f in recall.facts() if f.asked_openly and f.statement_only]
    rng = random.Random(f"{SEED}/open")
    questions = []
    for i in sorted(rng.sample(range(len(told)), min(OPEN_COUNT, len(told)))):
        fact = told[i]
        accepted = tuple(dict.fromkeys((fact.answer, fact.answer.removeprefix("The "))))
        questions.append(
            Question(
                id=f"atlas-open/{fact.subject}/{len(questions)}",
                subject=fact.subject,
                text=fact.question,
                accepted=accepted,
                popularity=fact.popularity,
            )
        )
    return questions
