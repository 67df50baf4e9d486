"""A policy in plain words: what it promises, and what becomes of a question at each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cclib.display.verdicts import points
from cclib.policies import Condition, Policy, Stage


def in_words(policy: Policy) -> str:
    """Lines of plain text: the family and the chain, the promise, then each stage. Intervals are of 95 %."""
    lines = [f"{policy.family}: {policy.name}", *_promise(policy)]
    lines += [_stage(policy, i) for i in range(len(policy.stages))]
    if any(stage.leaves for stage in policy.stages):
        lines.append(
            "It is charged for a pass only up to the probe's layer where P(IK) alone says that the answer is "
            "not kept; `cclib.live_cascade` runs passes to their end."
        )
    return "\n".join(lines)


def _promise(policy: Policy) -> list[str]:
    about = policy.about
    if "proven" not in about:
        return ["Nothing is said of what it promises."]
    lines = [
        f"Chosen on {about['benchmark']}, {about['questions']:,} questions that had no part in making it.",
        *_models(about),
    ]
    if about["max_cost"] is not None:
        promise = f"it costs at most {about['max_cost']:.1%} of {about['reference']} alone"
    else:
        promise = (
            f"it loses at most {points(100 * about['max_drop'])} of accuracy against {about['reference']}"
        )
    if about["proven"]:
        lines.append(
            f"Proven: with probability {1 - about['delta']:g}, {promise} (p = {about['p_value']:.2g})."
        )
        lines.append(f"On those questions it {_did(about, about)}.")
    else:
        lines.append(
            f"Nothing is proven of the promise that {promise}: {about.get('reason') or 'see below'}."
        )
        lines += _unproven(about)
    if about.get("families"):
        lines.append(_families(about["families"]))
    if about.get("abstention") is not None:
        lines.append(f"No answer costs {about['abstention']:g}, where a wrong one costs 1.")
    return lines


def _models(about: Mapping[str, Any]) -> list[str]:
    """How each model does alone on the questions that prove."""
    lines, last = [], about["reference"]
    for name, alone in about.get("models", {}).items():
        cost = "" if name == last else f", at {alone['cost']:.1%} of the cost of {last}"
        lines.append(f"{name} alone: {alone['right']:.1%} right{_interval(alone['interval'], '.1%')}{cost}.")
    return lines


def _did(made: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """What a policy saved and lost, and random mixing at its cost beside it."""
    intervals, lots = made.get("intervals", {}), made.get("mixing")
    drop = intervals.get("drop")
    said = (
        f"saved {made['saved']:.1%}{_interval(intervals.get('saved'), '.1%')} of the {about['unit']} "
        f"({about['accounting']}) and lost {100 * made['drop']:.2f} points"
        f"{_interval(drop and [100 * end for end in drop], '.2f')}"
    )
    if lots:
        said += (
            f"; drawing lots between {' and '.join(lots['models'])} at the same cost loses "
            f"{100 * lots['drop']:.2f}"
        )
    return said


def _unproven(about: Mapping[str, Any]) -> list[str]:
    """What the training questions hope for, and what more questions may prove."""
    lines, ahead = [], about.get("promising")
    if ahead:
        lines.append(
            f"Most promising by the training questions, NOT PROVEN: {ahead['family']}, {ahead['chain']}. "
            f"On those {about['questions']:,} questions it {_did(ahead, about)}."
        )
    if about.get("more") and about["max_cost"] is None:
        hoped = [
            f"{int(n):,}"
            + (f" (a table of {row['rows']:,} rows)" if row["rows"] else "")
            + f" {row['saved']:.1%}"
            for n, row in about["more"].items()
        ]
        lines.append(
            f"By the number of questions it may be expected to prove a saving of: {', '.join(hoped)}."
        )
    return lines


def _families(saved: Mapping[str, float | None]) -> str:
    proven = ", ".join(f"{family} {share:.1%}" for family, share in saved.items() if share is not None)
    nothing = ", ".join(family for family, share in saved.items() if share is None)
    if not proven:
        return (
            f"No family that had been picked beforehand would have been proven to save anything: {nothing}."
        )
    others = f"; nothing: {nothing}" if nothing else ""
    return f"A family that had been picked beforehand would have been proven to save: {proven}{others}."


def _interval(ends: Sequence[float] | None, digits: str) -> str:
    return "" if ends is None else f" ({ends[0]:{digits}} to {ends[1]:{digits}})"


def _stage(policy: Policy, i: int) -> str:
    stage, last = policy.stages[i], i == len(policy.stages) - 1
    said = f"{i + 1}. {stage.model} ({_made(stage)})"
    if stage.start is not None:
        said += f" is asked first where {_condition(stage.start)}."
    elif i == 0:
        said += " is asked first."
    else:
        routed = "where no stage before it is, or " if policy.stages[0].start else ""
        said += f" is asked {routed}where the stage before passes on."
    if not stage.keep:
        return f"{said} {'It always answers.' if last else 'All its answers are kept.'}"
    said += f" Its answer is kept where {' and '.join(map(_condition, stage.keep))};"
    if last:
        return f"{said} else nobody answers."
    further = f" where {_condition(stage.hope)}, and else nobody answers" if stage.hope else ""
    return f"{said} else {policy.stages[i + 1].model} is asked{further}."


def _condition(condition: Condition) -> str:
    score = condition.score
    made = f" (learned from {', '.join(score.features)})" if score.features else ""
    return f"{score.label}{made} is at least {condition.threshold:.4g}"


def _made(stage: Stage) -> str:
    known = {"weights": stage.checksum, "precision": stage.dtype, "prompt": stage.prompt or stage.prompt_hash}
    said = [f"{name} {value}" for name, value in known.items() if value]
    if stage.probe is not None:
        said.append(f"P(IK) read at layer {stage.probe.layer}")
    return ", ".join(said) or "its weights are not on record"
