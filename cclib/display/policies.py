"""Which policy to run: what `cclib.experiments.which_policy` found, in sentences. All return Markdown."""

from __future__ import annotations

from cclib.display.verdicts import points
from cclib.experiments.which_policy import Comparison, best_at
from cclib.names import verbatim

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
            f"**In short.** To {lost}, **ask {choice.policy.name} alone**: of {choice.candidates:,} "
            f"candidates nothing cheaper is proven on {choice.questions:,} questions. The reason: "
            f"{verbatim(choice.reason)}."
        )
    low, high = choice.saved_interval
    row = found.judged.loc[points(100 * drop)]
    return (
        f"**In short.** To {lost}, **run {choice.policy.family}: {choice.policy.name}**. Proven on "
        f"{choice.questions:,} questions among {choice.candidates:,} candidates, it saves {choice.saved:.1%} "
        f"of the {SPENT[found.unit]} of the last model alone (95 % interval {low:.1%} to {high:.1%}). On the "
        f"test questions it saves {row['share saved, test']:.1%}, and accuracy moves by "
        f"{row['difference, test (points)']:+.2f} points."
    )


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
        idle = ", ".join(f for f, proven in choice.families["proven"].items() if not proven)
        text = f"{points(100 * drop)}: nothing is proven for {idle}" if idle else ""
        text = text or f"{points(100 * drop)}: something is proven for every family"
        best, most = choice.families["saved"].idxmax(), choice.families["saved"].max()
        if most > choice.saved:
            text += (
                f". Picked beforehand, {best} alone would have saved {most:.1%}, the choice among all saves "
                f"{choice.saved:.1%}: what promises most on the training questions need not prove most"
            )
        lines.append(text if choice.proven else f"{text}. Nothing is chosen: {verbatim(choice.reason)}")
    for spent in (0.5, 0.8) if found.choices else ():
        here = best_at(found.curves, spent)
        if RANDOM in here and (under := here.index[here < here[RANDOM]].tolist()):
            lines.append(
                f"At {spent:.0%} of the {SPENT[found.unit]} random mixing is more accurate on new questions "
                f"than {', '.join(under)}"
            )
    notes = next(iter(found.choices.values())).notes if found.choices else []
    return "\n".join(f"- {line}." for line in [*lines, *map(verbatim, notes)])
