"""Prompts laid out as packs: one row of tokens that answers several questions.

Prompts of one subject share their first lines. A *pack* holds the shared head once, then every question's
own tail, without padding. Each tail attends to the head and to itself, at the positions it would have
alone, so the result is that of the separate prompts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

MOST_PROMPTS = 512  # of one pack: each has a row of the vocabulary's size when it is read


@dataclass(frozen=True)
class Group:
    """Where a pack holds one shared head, (start, length), and its tails, [(start, length), ...]."""

    head: tuple[int, int]
    tails: list[tuple[int, int]]


@dataclass(frozen=True)
class Pack:
    """One row of t tokens that answers several questions."""

    tokens: list[int]  # (t,)
    positions: list[int]  # (t,) place of each token in its own prompt
    groups: list[Group]
    index: list[int]  # (m,) which prompts, in the order of their tails
    lengths: list[int]  # (m,) tokens of each whole prompt

    @property
    def last(self) -> list[int]:
        """(m,) the pack's position of each prompt's last token."""
        return [start + length - 1 for group in self.groups for start, length in group.tails]


def make_packs(encoded: Sequence[Sequence[int]], budget: int) -> list[Pack]:
    """Lay prompts (token lists) out in packs of about `budget` tokens, heads shared.

    Prompts are sorted by their tokens, so that those with a common beginning are neighbours. A pack's first
    head comes on top of the budget, and a long one has tails of twice its length behind it: examples can be
    longer than the budget, and would else be read anew with every few questions.
    """
    return list(_each_pack(encoded, budget))


def _each_pack(encoded: Sequence[Sequence[int]], budget: int) -> Iterator[Pack]:
    order = sorted(range(len(encoded)), key=lambda i: encoded[i])
    batch, used, room = [], 0, budget
    for place, i in enumerate(order):
        # neighbours share a head, so count what this prompt adds
        shared = _common_prefix(encoded[batch[-1]], encoded[i]) if batch else 0
        if batch and (used + len(encoded[i]) - shared > room or len(batch) == MOST_PROMPTS):
            yield _lay_out(encoded, batch)
            batch, used, room = [], 0, budget
        if not batch and place + 1 < len(order):
            shared = _common_prefix(encoded[i], encoded[order[place + 1]])
            room = max(budget, 2 * shared)
        batch.append(i)
        used += len(encoded[i]) - shared
    if batch:
        yield _lay_out(encoded, batch)


def packs_to_run(encoded: Sequence[Sequence[int]], skip: Collection[int], budget: int) -> Iterable[Pack]:
    """The packs that hold what is not to be skipped; where that is all, each is laid out when it is due.

    Where a run is gone on with, each pack was either run or not: those left are the ones it would have
    run, and compute the same to the bit. Where some are mixed, another set was asked for before, and
    what is left is laid out anew.
    """
    if not skip:
        return _each_pack(encoded, budget)
    packs = make_packs(encoded, budget)
    left = [[i for i in pack.index if i not in skip] for pack in packs]
    if all(len(some) in (0, len(pack.index)) for some, pack in zip(left, packs)):
        return [pack for some, pack in zip(left, packs) if some]
    wanted = sorted(i for some in left for i in some)
    anew = make_packs([encoded[i] for i in wanted], budget)
    return [replace(pack, index=[wanted[i] for i in pack.index]) for pack in anew]


def filled(pack: Pack, multiple: int) -> Pack:
    """The pack with tokens that nobody reads at its end, so that it has a multiple of some number."""
    end, blank = len(pack.tokens), -len(pack.tokens) % multiple
    if not blank:
        return pack
    return replace(
        pack,
        tokens=pack.tokens + [0] * blank,
        positions=[*pack.positions, *range(blank)],
        groups=[*pack.groups, Group((end, blank), [])],
    )


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    n = 0
    for x, y in zip(a, b):
        if x != y:
            break
        n += 1
    return n


def _lay_out(encoded: Sequence[Sequence[int]], batch: list[int]) -> Pack:
    """Group neighbours of a batch by their common head: a new group where sharing drops by half."""
    groups: list[tuple[int, list[int]]] = []  # (length of the head, members)
    for place, i in enumerate(batch):
        after = batch[place + 1] if place + 1 < len(batch) else i
        following = _common_prefix(encoded[i], encoded[after]) if after != i else 0
        if groups:
            head, members = groups[-1]
            common = min(head, _common_prefix(encoded[members[0]], encoded[i]), len(encoded[i]) - 1)
            if len(members) == 1:
                common = min(_common_prefix(encoded[members[0]], encoded[i]), len(encoded[i]) - 1)
                common = min(common, len(encoded[members[0]]) - 1)
                common = common if common >= following / 2 else 0  # the next group's first, not this one's
            # joining shortens the head for all members; worth it only while it saves tokens
            if common and common * len(members) > head * (len(members) - 1):
                groups[-1] = (common, [*members, i])
                continue
        groups.append((0, [i]))
    tokens: list[int] = []
    positions: list[int] = []
    placed: list[Group] = []
    index: list[int] = []
    for head, members in groups:
        if len(members) == 1:
            head = 0
        start = len(tokens)
        tokens += encoded[members[0]][:head]
        positions += range(head)
        tails = []
        for i in members:
            tail = encoded[i][head:]
            tails.append((len(tokens), len(tail)))
            tokens += tail
            positions += range(head, head + len(tail))
        placed.append(Group((start, head), tails))
        index += members
    return Pack(tokens, positions, placed, index, [len(encoded[i]) for i in index])
