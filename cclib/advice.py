"""What a practitioner should use, in sentences made from the tables of Appendix A."""

from __future__ import annotations

import pandas as pd

from cclib.resampling import WAYS

SAME = "cannot be told apart from"
LITTLE = 0.6  # an AUROC below which a score is of little use


def confidence(table: pd.DataFrame) -> str:
    """Markdown: what the ranking of `estimators.ranking` says, and what to use.

    An estimator is better or worse than P(T) where the 95 % interval of the difference leaves out zero; with
    many estimators, one in twenty would by luck.
    """
    found = table.dropna(subset=["AUROC"])
    if "P(T)" not in found.index:
        return f"**{found.index[0]}** ranks first with an AUROC of {found['AUROC'].iloc[0]:.3f}."
    low, high = (found["AUROC above P(T), interval"].str[i] for i in (0, 1))
    better, worse = found[low > 0], found[high < 0]
    chance = found[(found["AUROC interval"].str[0] <= 0.5) & (found["AUROC interval"].str[1] >= 0.5)]
    below = found[found["AUROC interval"].str[1] < 0.5]
    same = found.drop([*better.index, *worse.index, "P(T)"])
    own = found.loc["P(T)", "AUROC"]
    lines = []
    if len(better):
        best = better.iloc[0]
        lines.append(
            f"**Use {better.index[0]}**: its AUROC of {best['AUROC']:.3f} is above P(T)'s {own:.3f} beyond "
            f"what chance explains, and it costs {best['extra cost']:.1%} of a pass more."
        )
    else:
        lines.append(
            f"**Use P(T)**: with an AUROC of {own:.3f} and no cost of its own, no estimator here is better "
            "beyond what chance explains."
        )
    if found["AUROC"].iloc[0] < LITTLE:
        lines.append(
            f"Even the first, {found.index[0]}, tells little: an AUROC of {found['AUROC'].iloc[0]:.3f} is "
            "close to the one half of chance."
        )
    if len(same):
        lines.append(f"{_names(same)} {SAME} P(T) on these questions.")
    if len(worse):
        dearest = worse["extra cost"].max()
        lines.append(
            f"Worse than P(T): {_names(worse)}"
            + (f"; the dearest of them costs {dearest:.0%} of a pass on top." if dearest else ".")
        )
    if len(chance):
        lines.append(f"At chance (the interval of the AUROC holds one half): {_names(chance)}.")
    if len(below):
        lines.append(f"Below chance, so that they mislead: {_names(below)}.")
    absent = table[table["AUROC"].isna()]
    if len(absent):
        lines.append(f"Not available in this edition: {', '.join(absent.index)}.")
    return "\n".join(f"- {line}" for line in lines)


def _names(table: pd.DataFrame) -> str:
    return ", ".join(f"{name} ({value:.3f})" for name, value in table["AUROC"].items())


def routing(table: pd.DataFrame, tuned: pd.DataFrame | None, mixing: float, points: float) -> str:
    """Markdown: what the ranking of `routing_tables.ranking` says, and what to use.

    Args:
        tuned: of `routing_tables.tuned`; None where nothing could be tuned.
        mixing: AIQ of sending questions at random, which needs no method.
        points: that the thresholds were tuned to lose at most.
    """
    found = table.dropna(subset=["AIQ, every pass"])
    if not len(found):
        first = table.dropna(subset=["APGR"]).iloc[0]
        return (
            f"- The models' sizes are not known here, so no cost can be charged. By APGR alone {first.name} "
            f"comes first ({first['APGR']:.3f}; sending at random has one half)."
        )
    lines = []
    best, first = found.index[0], found.iloc[0]
    if first["AIQ above random, interval"][0] <= 0:
        lines.append(
            "**Use one model, or mix the two at random**: with every pass charged, nothing here lies above "
            f"the line between them (AIQ {mixing:.1%}) beyond what chance explains."
        )
    else:
        lines.append(
            f"**Use {best}** where every pass is paid for: AIQ {first['AIQ, every pass']:.1%}, against "
            f"{mixing:.1%} for mixing at random; it decides {first['decides']}."
        )
        level = found[found["AIQ above the first, interval"].str[1] >= 0]
        if len(level) > 1:
            cheapest = level["cost of deciding"].idxmin()
            needs, price = level.loc[cheapest, ["needs", "cost of deciding"]]
            rest = "; ".join(name for name in level.index if name != best)
            lines.append(
                f"These {SAME} it on these questions: {rest}. Cheapest to decide with is {cheapest}, which "
                f"needs {needs}; it costs {price:.2%} of the large model's pass."
            )
    ordered = found.sort_values("AIQ, paper", ascending=False)
    if ordered.index[0] != best:
        lines.append(
            f"By the paper's accounting {ordered.index[0]} comes first instead "
            f"({ordered['AIQ, paper'].iloc[0]:.1%}): what a decision costs changes the ranking."
        )
    if "P(T)" in found.index:
        low, high = (found["AIQ above P(T), interval"].str[i] for i in (0, 1))
        lines.append(
            f"Of {len(found) - 1} other methods {int((low > 0).sum())} are above the cascade on P(T) beyond "
            f"what chance explains, {int((high < 0).sum())} below; for the rest it cannot be said."
        )
    for kind in found["decides"].unique():
        top = found[found["decides"] == kind]
        lines.append(
            f"Best of those that decide {kind}: {top.index[0]} (AIQ {top['AIQ, every pass'].iloc[0]:.1%}, "
            f"APGR {top['APGR'].iloc[0]:.3f})."
        )
    if tuned is not None and len(tuned):
        chosen = tuned.iloc[0]
        missed = int((tuned["difference (points)"] < -points).sum())
        lines.append(
            f"Tuned to lose at most {points:g} point, the method that saves most on the validation part is "
            f"{tuned.index[0]}. On the test part it saves {chosen['reduced compute, every pass']:.1%}, every "
            f"pass charged, and moves accuracy by {chosen['difference (points)']:+.2f} points. Of the "
            f"{len(tuned)} methods {missed} lose more than the target there: a threshold that holds on one "
            "part may well miss on the next."
        )
    absent = table[table["AIQ, every pass"].isna()]
    if len(absent):
        lines.append(
            f"Not available in this edition: {len(absent)} methods, each named above with the reason."
        )
    return "\n".join(f"- {line}" for line in lines)


def promise(held: pd.DataFrame, max_drop: float, delta: float) -> str:
    """Markdown: whether the promise held and what it cost, from `resampling.kept` of each chain."""
    made, bold, known = (held.xs(way, level="choice") for way in (*WAYS, "knowing the truth"))
    lose, saved = "share broken", "reduced compute"
    broken = int((made[f"{lose}, interval"].str[0] > delta).sum())
    holds = f"does not hold for {broken} of {len(made)} chains" if broken else "holds"
    points = f"{100 * max_drop:g} point" + ("" if max_drop == 0.01 else "s")
    lines = [
        f"The promise {holds}: thresholds that carry it truly lose more than {points} in at most "
        f"{made[lose].max():.1%} of the draws, where {delta:.0%} were allowed. Those not corrected do in up "
        f"to {bold[lose].max():.1%}."
    ]
    for name, row in made.iterrows():
        best, risky = (of.loc[name, saved] for of in (known, bold))
        if best <= 0:
            lines.append(f"{name}: nothing saves compute at that loss, so **use the last model alone**.")
            continue
        none = 1 - row["share found"]
        lines.append(
            f"{name}: the promise saves {row[saved]:.1%} on average, choosing without it {risky:.1%}, "
            f"knowing the truth {best:.1%}."
            + (f" In {none:.1%} of the draws no thresholds qualify." if none else "")
        )
    return "\n".join(f"- {line}" for line in lines)
