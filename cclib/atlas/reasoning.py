"""Questions whose answer is worked out: arithmetic, order, calendar, units, letters.

A kind is a function of a random generator that returns an `Item`. Items are shared out between the
benchmark and the training corpus by a hash of what is asked (`Item.held_out`), so no operands that
the benchmark asks about are ever trained.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from cclib.atlas.facts import countries, known_cities, stable_hash

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
UNITS = (
    ("minutes", "hours", 60), ("seconds", "minutes", 60), ("hours", "days", 24), ("days", "weeks", 7),
    ("months", "years", 12), ("metres", "kilometres", 1000), ("centimetres", "metres", 100),
    ("grams", "kilograms", 1000), ("inches", "feet", 12), ("feet", "yards", 3), ("ounces", "pounds", 16),
    ("millimetres", "centimetres", 10),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A question before its options are put in order."""

    text: str
    answer: str
    wrong: tuple[str, ...]
    key: str  # what is asked, without the wrong options where the text alone says it
    popularity: float | None = None

    @property
    def held_out(self) -> bool:
        """One item in three belongs to the benchmark and is never trained."""
        return stable_hash(self.key) % 3 == 0


def _numbers(rng: random.Random, text: str, answer: int, steps: tuple[int, ...]) -> Item:
    """Wrong options a few steps away, none negative."""
    near = sorted({answer + sign * step for step in steps for sign in (-1, 1)} - {answer})
    wrong = rng.sample([n for n in near if n >= 0], 3)
    return Item(text, str(answer), tuple(map(str, wrong)), text)


def _operand(rng: random.Random) -> int:
    return rng.randrange(2, rng.choices((20, 100, 1000), (3, 4, 2))[0])


def addition(rng: random.Random) -> Item:
    a, b = _operand(rng), _operand(rng)
    return _numbers(rng, f"What is {a} + {b}?", a + b, (1, 2, 10) if a + b < 100 else (1, 2, 10, 100))


def subtraction(rng: random.Random) -> Item:
    a, b = sorted((_operand(rng), _operand(rng)))
    return _numbers(rng, f"What is {b} - {a}?", b - a, (1, 2, 3, 10) if b < 100 else (1, 2, 3, 10, 100))


def multiplication(rng: random.Random) -> Item:
    a, b = rng.randrange(2, 26), rng.randrange(2, 81)
    return _numbers(rng, f"What is {a} * {b}?", a * b, (1, 2, 10, a, b, a + b))


def ordering(rng: random.Random) -> Item:
    top = 10 ** rng.randrange(2, 5)
    numbers = sorted(rng.sample(range(top), 4))
    which, at = rng.choice((("largest", 3), ("smallest", 0), ("second largest", 2)))
    text = f"Which number is the {which}?"
    wrong = tuple(str(n) for i, n in enumerate(numbers) if i != at)
    return Item(text, str(numbers[at]), wrong, text + str(numbers))


def sequences(rng: random.Random) -> Item:
    step = rng.randrange(1, rng.choice((6, 13)))
    start = rng.randrange(0, rng.choice((20, 100)))
    if rng.random() < 0.3:
        start, step = start + 3 * step, -step
    shown = [start + i * step for i in range(3)]
    answer = shown[-1] + step
    text = f"What comes next: {', '.join(map(str, shown))}?"
    if answer < 0:
        return sequences(rng)
    return _numbers(rng, text, answer, (1, 2, abs(step), abs(step) + 1, 10))


def calendar(rng: random.Random) -> Item:
    kind = rng.random()
    if kind < 0.25:
        leap = 4 * rng.randrange(450, 525)
        if leap % 100 == 0 and leap % 400:
            leap += 4
        wrong = rng.sample([leap + d for d in range(-15, 16) if d % 4], 3)
        text = "Which year is a leap year?"
        return Item(text, str(leap), tuple(map(str, wrong)), text + str(sorted([leap, *wrong])))
    names, unit, most = (DAYS, "days", 40) if kind < 0.65 else (MONTHS, "months", 24)
    start, n = rng.randrange(len(names)), rng.randrange(1, most)
    word, sign = rng.choice((("after", 1), ("before", -1)))
    answer = names[(start + sign * n) % len(names)]
    text = f"Which {unit[:-1]} is {n} {unit if n > 1 else unit[:-1]} {word} {names[start]}?"
    return Item(text, answer, tuple(rng.sample([x for x in names if x != answer], 3)), text)


def units(rng: random.Random) -> Item:
    small, large, factor = rng.choice(UNITS)
    n = rng.randrange(2, 100)
    text = f"How many {small} are in {n} {large}?"
    others = {n * f for _, _, f in UNITS if f != factor} | {n * factor + factor, n * factor - factor}
    return Item(text, str(n * factor), tuple(map(str, rng.sample(sorted(others), 3))), text)


def alphabet(rng: random.Random) -> Item:
    kind = rng.random()
    if kind < 0.4:
        at, n = rng.randrange(26), rng.randrange(1, 10)
        word, sign = rng.choice((("after", 1), ("before", -1)))
        if not 0 <= at + sign * n < 26:
            return alphabet(rng)
        answer = ALPHABET[at + sign * n]
        near = [c for c in ALPHABET if c != answer and abs(ALPHABET.index(c) - at - sign * n) <= 4]
        text = f"Which letter is {n} {word} {ALPHABET[at]}?"
        return Item(text, answer, tuple(rng.sample(near, 3)), text)
    place, at = rng.choice((("first", 0), ("last", 3)))
    text = f"Which word comes {place} in the alphabet?"
    four = sorted(rng.sample(words(), 4))
    if len({w[:2] for w in four}) < 4:
        return alphabet(rng)
    return Item(text, four[at], tuple(w for w in four if w != four[at]), text + str(four))


def spelling(rng: random.Random) -> Item:
    word = rng.choice(words())
    kind = rng.choice(("first", "last", "second", "length"))
    if kind == "length":
        text = f"How many letters has {word}?"
        near = [n for n in range(len(word) - 3, len(word) + 4) if n > 1 and n != len(word)]
        return Item(text, str(len(word)), tuple(map(str, rng.sample(near, 3))), text)
    text = f"What is the {kind} letter of {word}?"
    answer = word[{"first": 0, "last": -1, "second": 1}[kind]].upper()
    inside = sorted({c.upper() for c in word} - {answer})
    wrong = rng.sample(inside, min(2, len(inside))) + rng.sample(ALPHABET, 8)
    wrong = list(dict.fromkeys(c for c in wrong if c != answer))[:3]
    return Item(text, answer, tuple(wrong), text)


def counting(rng: random.Random) -> Item:
    letter, *others = rng.sample(ALPHABET[:12], 4)
    length = rng.randrange(5, 11)
    row = [letter if rng.random() < 0.4 else rng.choice(others) for _ in range(length)]
    n = row.count(letter)
    if n == 0:
        return counting(rng)
    text = f"How many times is {letter} in {' '.join(row)}?"
    near = [m for m in range(max(0, n - 3), n + 4) if m != n]
    return Item(text, str(n), tuple(map(str, rng.sample(near, 3))), text)


@cache
def words() -> list[str]:
    """Single words of four letters or more: names of cities and countries."""
    names = [c.name for c in known_cities()[:900]] + [c.name for c in countries().values()]
    return sorted({n for n in names if n.isalpha() and len(n) >= 4})


REASONING: dict[str, Callable[[random.Random], Item]] = {
    "addition": addition,
    "subtraction": subtraction,
    "multiplication": multiplication,
    "ordering": ordering,
    "sequences": sequences,
    "calendar": calendar,
    "units": units,
    "alphabet": alphabet,
    "spelling": spelling,
    "counting": counting,
}
