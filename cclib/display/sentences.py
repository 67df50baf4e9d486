"""Sentences that an edition's numbers make: what the prose says is computed here, not typed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from cclib import cost, stats
from cclib.cascades import Cascade
from cclib.display.verdicts import MARGIN, against_mixing, estimate, of_chain, place, signed
from cclib.display.verdicts import points as in_points
from cclib.experiments.commercial_api import saved_column
from cclib.experiments.results import above_mixing, seconds_apart, time_moved
from cclib.experiments.sensitivity import WAYS
from cclib.names import verbatim
from cclib.study import Study, chains_of
from cclib.traces import Trace


def verdicts(results: Mapping[str, Cascade], margin: float = MARGIN) -> str:
    """One line a chain (Markdown): the verdict against its last model and random mixing, and its compute."""
    lines, alone = [], _models(results)
    for name, result in chains_of(results).items():
        verdict = of_chain(result, margin)
        above = against_mixing(above_mixing(result, alone), verdict)
        lines.append(f"- **{name}** {verdict}. {_saving(result)} {above}".rstrip())
    none = "Here is no chain: it takes two models or more, all but the last with P(T)."
    return "\n".join(lines) or f"- {none}"


def card_times(card: Mapping[str, Any], shown: pd.DataFrame, published: str) -> str:
    """What measured the Time columns, and what they say (Markdown).

    Args:
        card: a card's figures, as `speed/gpu.py` writes them.
        published: the hardware of the paper's own column.
        shown: a row a table and chain, with "time, paper" and "time, true shapes".
    """
    versions = ", ".join(f"{name} {number}" for name, number in card["versions"].items())
    text = f"The paper's times are of {published}. "
    text += (
        f"The others were measured on one {card['card']} ({card['date']}; {versions}) by "
        f"{card['measured by']}; {card['questions']:,} prompts of MMLU's lengths, bfloat16, random weights."
    )
    if any(len(shape["seconds of n questions"]) == 1 for shape in card["shapes"].values()):
        text += " All questions were run; seconds of fewer are taken in proportion."
    here = shown["time, true shapes"].dropna()
    dearer = [chain for _, chain in here.index[here > 0]]
    said = f"{', '.join(dearer)} {'take' if len(dearer) > 1 else 'takes'}" if dearer else "no chain takes"
    text += f"\n\nOn this card {said} longer than the last model alone."
    only_here = here[shown["time, paper"].reindex(here.index).isna()]
    for (_, chain), value in only_here.items():
        text += (
            f" {chain}, for which the paper gives no time, takes {_more(value)} than its last model alone."
        )
    return verbatim(text)


def at_a_glance(study: Study, results: Mapping[str, Cascade], margin: float = MARGIN) -> str:
    """The chains in one small table, for a front page, and a warning about models near chance (Markdown)."""
    lines = [
        "| chain | accuracy (95 %) | against its last model, points (95 %) | verdict "
        "| compute saved, paper's count (95 %) | every pass (95 %) | above random mixing, points (95 %) |",
        "| --- | --: | --: | --- | --: | --: | --: |",
    ]
    for name, result in chains_of(results).items():
        verdict = of_chain(result, margin)
        saved = ((cost.reduced(result, a), cost.saving_interval(result, a)) for a in cost.ACCOUNTINGS)
        mixing = above_mixing(result, _models(results))
        cells = [
            name,
            estimate(result.accuracy, stats.accuracy_interval(result.correct)),
            signed(verdict.difference, (verdict.low, verdict.high)),
            verdict.kind,
            *("not known" if np.isnan(share) else estimate(share, ends) for share, ends in saved),
            signed(mixing.points, mixing.interval) if mixing else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    about = (
        f"Equivalent: within {in_points(100 * margin)}, by two one-sided tests. Random mixing asks one of "
        "two models by chance, as often as costs the same with every pass counted; the best pair is taken."
    )
    return "\n".join([*lines, "", about, "", *near_chance(study)])


def _models(results: Mapping[str, Cascade]) -> dict[str, Trace]:
    """The single models among the results, by their names."""
    return {name: r.stages[0] for name, r in results.items() if len(r.stages) == 1}


NEAR = 0.1  # of accuracy


def near_chance(study: Study) -> list[str]:
    """A line for every model that is not shown to beat the best constant answer (Markdown).

    Guessing among the options is the wrong opponent where one letter is right more often: always naming that
    letter needs no model. The test is the binomial's, one-sided, at 5 %. A model is near chance where its
    accuracy's interval ends less than NEAR above that; where it ends higher, the questions are too few.
    """
    if study.test[0].column("response") is not None:
        return []  # open questions: there is nothing to guess among
    found = []
    for name, trace in zip(study.models, study.test):
        share, constant = best_constant(trace)
        p = binomtest(int(trace.correct.sum()), len(trace), share, "greater").pvalue
        if p < 0.05:
            continue
        low, high = stats.accuracy_interval(trace.correct)
        right = f"{trace.correct.mean():.1%} right ({low:.1%} to {high:.1%})"
        chance = f"where {constant} is right in {share:.1%} (p = {p:.2g})"
        if high < share + NEAR:
            said, so = "is near chance", "A stage that knows little has little to keep."
        else:
            said = f"is not shown to be above chance on {len(trace):,} questions"
            so = "So few leave open whether it is: ask more."
        found.append(f"- **{name} {said}**: {right}, {chance}. {so}")
    return found


def best_constant(trace: Trace) -> tuple[float, str]:
    """Share of the questions that the best answer without a look at them gets right, and what it is."""
    answer = trace.column("answer")
    if answer is not None and len(answer):
        letter = int(np.bincount(answer).argmax())
        return float((answer == letter).mean()), f"always answering {'ABCDEFGHIJ'[letter]}"
    probs = trace.option_probs
    return (0.25 if probs is None else float((1 / np.isfinite(probs).sum(axis=1)).mean())), "guessing"


def _saving(result: Cascade) -> str:
    paid, made = cost.reduced(result), cost.reduced(result, "every-pass")
    if np.isnan(paid):
        return "Its compute is not known: " + "; ".join(cost.compute(result).missing) + "."
    return f"Compute {_moves(paid)} as the paper counts, and {_moves(made)} when every pass made is counted."


def _moves(saved: float) -> str:
    return f"falls by {saved:.1%}" if saved >= 0 else f"*rises* by {-saved:.1%}"


def _more(share: float) -> str:
    return f"{abs(share):.1%} {'more' if share > 0 else 'less'}"


def times_here(study: Study, results: Mapping[str, Cascade]) -> str:
    """A line on time: what the chains take, or why their seconds are not compared (Markdown)."""
    chains = chains_of(results)
    if not chains:
        return ""
    if why := seconds_apart(study.test):
        return f"- **Time is not compared**: {why}."
    said = [f"{name} takes {_more(time_moved(result))}" for name, result in chains.items()]
    line = f"- **Time**, every pass counted, against the last model alone: {', '.join(said)}."
    took = [trace.seconds.sum() for trace in study.test]
    for i, (small, large) in enumerate(pairwise(study.test)):
        if took[i] >= took[i + 1]:
            slow, fast = study.models[i : i + 2]
            line += (
                f" {slow}, of {small.n_layers} layers, is no faster than {fast}, of {large.n_layers}: layers "
                "are passed one after the other."
            )
    return f"{line} The models were timed one after the other, each as it was recorded."


def cautions(study: Study, results: Mapping[str, Cascade]) -> str:
    """What a reader must know before believing the tables (Markdown)."""
    found = [*(f"- {verbatim(note)}" for note in study.notes), *near_chance(study)]
    for name, result in chains_of(results).items():
        if result.stage_counts[0] == 0:
            found.append(
                f"- In **{name}** the first stage keeps nothing: no question passes its thresholds. "
                "The cascade answers as the stages after it do, and pays for its passes on top."
            )
    if not found:
        found = ["- No model is near chance and no stage is idle: only the intervals limit these figures."]
    return "\n".join(found)


def other_questions(study: Study, papers: str) -> str:
    """What a difference from the paper's accuracies cannot say where its questions are others (Markdown).

    Args:
        papers: what the paper's table is of, "MMLU".
    """
    if study.benchmark == papers.lower():
        return ""
    return (
        f"- **The questions.** The paper's are {papers}'s, these are {verbatim(study.benchmark)}'s: a "
        "difference between their accuracies is one of tests as well as of models, and its interval does not "
        "tell the two apart. What can be set beside the paper's is what a chain loses and saves."
    )


def savings_in_words(bought: pd.DataFrame) -> str:
    """A line a chain of `commercial`: tokens or questions saved, accuracy moved, random mixing (Markdown)."""
    column, lines = saved_column(bought), []
    for name, row in bought.dropna(subset=[column]).iterrows() if column else ():
        low, high = row[f"{column}, interval"]
        unit = column.split()[1]
        line = (
            f"- **{name}** saves {row[column]:.1%} of the last stage's {unit} ({low:.1%} to {high:.1%}) and "
            f"moves accuracy by {signed(row['PD (points)'], row['PD (points) interval'])} points."
        )
        if pd.notna(row.get("points above random mixing")):
            ends = row["points above random mixing interval"]
            line += (
                f" It {place(ends)} random mixing with as many questions sent: "
                f"{signed(row['points above random mixing'], ends)} points."
            )
        lines.append(line)
    return "\n".join(lines)


SAME = "cannot be told apart from"


LITTLE = 0.6  # an AUROC below which a score is of little use


def confidence(table: pd.DataFrame) -> str:
    """Markdown: what the ranking of `estimators.ranking` says, and what to use.

    An estimator is better or worse than P(T) where DeLong's test of the two AUROCs says so after Holm's
    correction for the number of estimators compared.
    """
    found = table.dropna(subset=["AUROC"])
    if "P(T)" not in found.index:
        return f"**{found.index[0]}** ranks first with an AUROC of {found['AUROC'].iloc[0]:.3f}."
    own = found.loc["P(T)", "AUROC"]
    apart = found["p against P(T), Holm"] < 0.05
    better, worse = found[apart & (found["AUROC"] > own)], found[apart & (found["AUROC"] < own)]
    chance = found[(found["AUROC interval"].str[0] <= 0.5) & (found["AUROC interval"].str[1] >= 0.5)]
    below = found[found["AUROC interval"].str[1] < 0.5]
    same = found.drop([*better.index, *worse.index, "P(T)"])
    corrected = f"corrected (Holm) for {len(found) - 1} comparisons"
    lines = []
    if len(better):
        best = better.iloc[0]
        lines.append(
            f"**Use {better.index[0]}**: its AUROC of {best['AUROC']:.3f} is above P(T)'s {own:.3f}, "
            f"{corrected}, and it costs {best['extra cost']:.1%} of a pass more. It was picked as the "
            "highest on these very questions, so expect a little less on others."
        )
    else:
        lines.append(
            f"**Use P(T)**: with an AUROC of {own:.3f} and no cost of its own, no estimator here is shown to "
            f"be better, {corrected}."
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
    """Markdown: what the ranking of `ranking.ranking` says, and what to use.

    Args:
        tuned: of `ranking.tuned`; None where nothing could be tuned.
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
            "**Use one model, or mix the two at random**: with every pass charged, nothing here is shown to "
            f"lie above the line between them (AIQ {mixing:.1%})."
        )
    else:
        low, high = first["AIQ above random, interval"]
        lines.append(
            f"**Use {best}** where every pass is paid for: AIQ {first['AIQ, every pass']:.1%}, against "
            f"{mixing:.1%} for mixing at random (by {100 * low:.1f} to {100 * high:.1f} points, 95 %); it "
            f"decides {first['decides']}. It is the first of {len(found)} on these questions, so expect a "
            "little less on others."
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
            f"Of {len(found) - 1} other methods {int((low > 0).sum())} have an interval above the cascade on "
            f"P(T), {int((high < 0).sum())} one below; for the rest it cannot be said. The intervals are not "
            f"corrected for their number: of {len(found) - 1} methods as good as P(T), "
            f"{0.05 * (len(found) - 1):.1f} would be counted here by luck."
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
            "pass charged, and moves accuracy by "
            f"{signed(chosen['difference (points)'], chosen['difference interval'])} points. Of the "
            f"{len(tuned)} methods {missed} lose more than the target there: a threshold that holds on one "
            "part may well miss on the next."
        )
    absent = table[table["AIQ, every pass"].isna()]
    if len(absent):
        lines.append(
            f"Not available in this edition: {len(absent)} methods, each in the ranking with the reason."
        )
    return "\n".join(f"- {line}" for line in lines)


def promise(held: pd.DataFrame, max_drop: float, delta: float) -> str:
    """Markdown: whether the promise held and what it cost, from `sensitivity.promise_check` of each chain."""
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
