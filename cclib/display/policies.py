"""Which policy to run: what `cclib.experiments.which_policy` found, in sentences. All return Markdown."""

from __future__ import annotations

from cclib.display.verdicts import estimate, points, signed
from cclib.experiments.which_policy import Comparison, best_at
from cclib.names import verbatim
from cclib.policies import PolicyChoice

SPENT = {"FLOPs": "compute", "USD": "dollars"}  # what a unit counts
RANDOM, ORACLE = "mixing at random", "oracle"


def which(found: Comparison, drop: float) -> str:
    """The answer in a sentence, and what became of it on the test questions."""
    if not found.choices:
        return f"**In short.** No policy can be chosen here: {verbatim(found.missing)}."
    choice = found.choices[drop]
    lost = f"lose at most {points(100 * drop)} with probability {1 - choice.policy.about['delta']:.0%}"
    if not choice.proven:
        return (
            f"**In short.** To {lost}, **ask {choice.policy.name} alone**: on {choice.questions:,} questions "
            f"no policy that saves is proven, of {choice.candidates:,} candidates. The reason: "
            f"{verbatim(choice.reason)}."
        )
    low, high = choice.saved_interval
    row = found.judged.loc[points(100 * drop)]
    saved = estimate(row["share saved, test"], row["share saved, test, interval"])
    moved = signed(row["difference, test (points)"], row["difference, test (points) interval"])
    return (
        f"**In short.** To {lost}, **run {choice.policy.name} as *{row['family']}***. Proven on "
        f"{choice.questions:,} questions, one of {choice.candidates:,} candidates, it saves "
        f"{choice.saved:.1%} of the {SPENT[found.unit]} of the last model alone (95 % interval {low:.1%} to "
        f"{high:.1%}). On the test questions it saves {saved}, "
        f"and accuracy moves by {moved} points. {_forgone(choice, found)}"
    )


def _forgone(choice: PolicyChoice, found: Comparison) -> str:
    """What the choice leaves to families that would have been picked beforehand."""
    text = (
        "For the promise to cover the choice, only the candidates that training questions promise most from "
        "are put to the proof"
    )
    saved = choice.families["saved"].rename(found.names)
    if saved.max() <= choice.saved:
        return f"{text}; no family picked beforehand would have been promised more here."
    return f"{text}: *{saved.idxmax()}*, picked beforehand, would have been promised {saved.max():.1%}."


def title(found: Comparison, spent: float = 0.5) -> str:
    """What comes first at a cost: the title of a figure of the comparison's curves."""
    here = best_at(found.curves, spent)
    run = here.drop([RANDOM, ORACLE], errors="ignore")
    if run.empty:
        return f"Nothing can be run at {spent:.0%} of the last model's {SPENT[found.unit]}"
    first = f"At {spent:.0%} of the {SPENT[found.unit]}, first on new questions: {run.index[0]}"
    over = 100 * (run.iloc[0] - here.get(RANDOM, run.iloc[0]))
    under = 100 * (here.get(ORACLE, run.iloc[0]) - run.iloc[0])
    return f"{first},\n{over:+.1f} points over random mixing, {under:.1f} under the oracle"


def bounded(found: Comparison, drop: float) -> str:
    """What hindsight would save, in a sentence."""
    if not found.choices:
        return ""
    saved = found.choices[drop].bounds["saved"]
    return (
        f"At {points(100 * drop)} the oracle saves {saved['oracle']:.1%}, the best single score "
        f"{saved['one score, its threshold known']:.1%} if its threshold were known, and the best of all "
        f"candidates {saved['all candidates known']:.1%}. Proof costs the difference to what is chosen: "
        f"{saved['the promise costs']:.1%} of the {SPENT[found.unit]} of the last model alone."
    )


def unproven(found: Comparison) -> str:
    """A line for each drop: which families prove nothing; what random mixing beats; what was left out."""
    lines = []
    for drop, choice in found.choices.items():
        families = choice.families.rename(index=found.names)
        idle = "; ".join(f"*{f}*" for f, proven in families["proven"].items() if not proven)
        text = f"{points(100 * drop)}: nothing that saves is proven for {idle}" if idle else ""
        text = text or f"{points(100 * drop)}: something that saves is proven for every family"
        best, most = families["saved"].idxmax(), families["saved"].max()
        if most > choice.saved:
            text += (
                f". Picked beforehand, *{best}* would have saved {most:.1%}, the choice among all saves "
                f"{choice.saved:.1%}: what promises most on the training questions need not prove most"
            )
        lines.append(text if choice.proven else f"{text}. Nothing is chosen: {verbatim(choice.reason)}")
    for spent in (0.5, 0.8) if found.choices else ():
        here = best_at(found.curves, spent)
        if RANDOM in here and (under := here.index[here < here[RANDOM]].tolist()):
            lines.append(
                f"At {spent:.0%} of the {SPENT[found.unit]}, on new questions, random mixing lies above "
                f"{', '.join(under)} (there are no intervals here)"
            )
    notes = next(iter(found.choices.values())).notes if found.choices else []
    return "\n".join(f"- {line}." for line in [*lines, *map(verbatim, notes)])
