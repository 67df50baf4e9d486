"""What is known of questions at one stage: of each question alone, and of what the stage's pass gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.stats
from scipy.special import logit

from cclib.confidence.p_ik import PIK
from cclib.traces import Trace

BY_TRAIN = "p_ik_by_train"  # column of a trace: P(IK) of a probe that saw training questions alone
RECORDED = ("P(T)", "P(IK)", "margin", "certainty", "mass")  # need no weights


@dataclass(frozen=True, eq=False)
class Readings:
    """What is known of n questions at one stage; None where it is not recorded, or not known yet."""

    n: int
    subject: np.ndarray | None = None  # (n,) str
    prompt_tokens: np.ndarray | None = None  # (n,) by the tokenizer of the stage
    texts: Sequence[str] | None = None  # n, subject, text and options of each question
    p_t: np.ndarray | None = None  # (n,)
    p_ik: np.ndarray | None = None  # (n,) of a probe that saw training questions alone
    option_probs: np.ndarray | None = None  # (n, c), NaN marks no option
    known: dict = field(default_factory=dict, repr=False)  # scores that were worked out before

    @classmethod
    def of(cls, trace: Trace, probe: PIK | None = None, texts: Sequence[str] | None = None) -> Readings:
        """A stage's readings from its trace.

        Args:
            probe: reads P(IK) from the trace's hidden states. Without one it is the trace's column
                `p_ik_by_train`: P(IK) as studies record it has seen the answers to the validation questions.
        """
        if probe is None:
            p_ik = trace.column(BY_TRAIN)
        else:
            p_ik = probe.score(trace).p_ik
        lengths, subject = trace.prompt_tokens, trace.column("subject")
        return cls(
            len(trace),
            None if subject is None else subject.astype(str),
            None if lengths is None else lengths.astype(float),
            texts,
            trace.p_t,
            p_ik,
            trace.option_probs,
        )

    def take(self, rows: np.ndarray) -> Readings:
        """The readings of some of the questions."""
        at = {k: getattr(self, k) for k in ("subject", "prompt_tokens", "p_t", "p_ik", "option_probs")}
        texts = None if self.texts is None else [self.texts[i] for i in rows]
        return Readings(len(rows), texts=texts, **{k: v if v is None else v[rows] for k, v in at.items()})

    @cached_property
    def options(self) -> dict[str, np.ndarray | None]:
        """(n,) margin, certainty and mass; None without probabilities of the options"""
        if self.option_probs is None:
            return dict.fromkeys(("margin", "certainty", "mass"))
        mass = np.nansum(self.option_probs, axis=1)
        known = np.where(mass > 0, mass, np.nan)  # a row without any says nothing
        return {
            "margin": margin(self.option_probs) + 0 * known,
            "certainty": -entropy(self.option_probs),
            "mass": known,
        }

    def recorded(self, kind: str) -> np.ndarray | None:
        """(n,) a score that needs no weights, or None where it was not recorded."""
        return {"P(T)": self.p_t, "P(IK)": self.p_ik}.get(kind, self.options.get(kind))


def recorded(readings: Readings, kind: str) -> np.ndarray:
    """(n,) floats; raises ValueError where there are none."""
    found = readings.recorded(kind)
    if found is None:
        source = {"P(T)": "p_t", "P(IK)": f"{BY_TRAIN}, or hidden states and a probe"}
        raise ValueError(
            f"this policy reads {kind}, and there is no {source.get(kind, 'option_probs')}; record it with a "
            "model that gives it, or choose a policy from scores that are there"
        )
    return np.asarray(found, float)


def entropy(probs: np.ndarray) -> np.ndarray:
    """(n,) Shannon entropy in nats of each row of (n, c), scaled to sum to one; NaN marks no option."""
    return scipy.stats.entropy(np.nan_to_num(probs, nan=0.0), axis=1)


def margin(probs: np.ndarray) -> np.ndarray:
    """(n,) difference between the two largest of each row of (n, c)."""
    top = np.sort(np.nan_to_num(probs, nan=0.0), axis=1)
    return top[:, -1] - top[:, -2]


def log_odds(p: np.ndarray) -> np.ndarray:
    """(n,) of probabilities, those of 0 and 1 drawn in by a millionth."""
    return logit(np.clip(p, 1e-6, 1 - 1e-6))
