"""A stage of a policy: a model, what it was proven with, and what keeps its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cclib.cascades import passes
from cclib.confidence.p_ik import PIK
from cclib.policies.readings import Readings
from cclib.policies.scores import Score

# What must agree for a model's answers to be those that a policy was proven with: what it is, what to do.
PROVEN_WITH = {
    "checksum": ("weights of the checksum", "load those weights"),
    "dtype": ("the precision", "load it so (dtype=)"),
    "prompt_hash": ("the prompt", "ask it so (prompt=)"),
}


@dataclass(frozen=True, eq=False)
class Condition:
    """A score that must reach a threshold."""

    score: Score
    threshold: float

    def holds(self, readings: Readings) -> np.ndarray:
        """(n,) bool; False where the score is not known"""
        return passes(self.score.of(readings), self.threshold)


@dataclass(frozen=True, eq=False)
class Stage:
    """One model of a policy.

    Its answer is kept where all of `keep` hold. Otherwise the next stage is asked if `hope` holds (None: it
    always does); where it does not, or there is no next stage, the policy abstains.
    """

    model: str  # its short name
    checksum: str | None = None  # of its weights, where known; so is what follows
    keep: tuple[Condition, ...] = ()  # none: every answer is kept
    start: Condition | None = None  # of the question alone: the first stage where it holds is asked first
    hope: Condition | None = None
    leaves: bool = False  # the pass ends at the probe's layer where P(IK) alone says that it is not kept
    probe: PIK | None = None  # reads P(IK); None where it is not used, or not at hand
    name: str | None = None  # by which it can be loaded: an id of the hub, an endpoint's name
    dtype: str | None = None
    prompt: str | None = None  # how it is asked
    prompt_hash: str | None = None

    @classmethod
    def of(cls, model: str, about: Mapping[str, Any], probe: PIK | None = None) -> Stage:
        """A stage that keeps every answer, from the provenance of its trace."""
        known = {key: about.get(key) for key in ("checksum", "dtype", "prompt", "prompt_hash")}
        return cls(model, probe=probe, name=about.get("model"), **known)

    @property
    def recorded(self) -> bool:
        """Whether it is known by answers on record alone, whose weights and prompt nobody has noted."""
        return self.name is not None and self.checksum is None and self.prompt_hash is None

    def check(self, about: Mapping[str, Any]) -> None:
        """Refuse answers that are not made as those that the policy was proven with.

        Args:
            about: the provenance of a trace or of a loaded model. What either does not say is not compared.

        Raises:
            ValueError: the weights, the precision or the prompt differ.
        """
        for key, (what, to_do) in PROVEN_WITH.items():
            expected, found = getattr(self, key), about.get(key)
            if expected and found and expected != found:
                named = f" ({self.prompt})" if key == "prompt_hash" and self.prompt else ""
                raise ValueError(
                    f"this policy was proven with {what} {expected}{named} for {self.model}, "
                    f"found {found}; {to_do}, or choose a policy for what is here"
                )

    def conditions(self) -> list[tuple[str, int, Condition]]:
        """(role, place, condition) of all that it has."""
        found = [("keep", i, c) for i, c in enumerate(self.keep)]
        return found + [(r, 0, c) for r in ("start", "hope") if (c := getattr(self, r)) is not None]

    @property
    def reads_p_ik(self) -> bool:
        kinds = [c.score.kind for c in self.keep] + [
            f for _, _, c in self.conditions() for f in c.score.features
        ]
        return "P(IK)" in kinds

    @property
    def p_ik_threshold(self) -> float | None:
        """The threshold on P(IK) under which the pass may end early; None where there is none."""
        return next((c.threshold for c in self.keep if c.score.kind == "P(IK)"), None)
