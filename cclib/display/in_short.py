"""What a chapter says of its own tables: their numbers in sentences; verdicts are `verdicts`'.

Functions take what the page shows and return Markdown, "" where there is nothing to say. Shares are of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cclib import cost, prompts, stats
from cclib.cascades import Cascade
from cclib.display import verdicts
from cclib.display.verdicts import Verdict, estimate
from cclib.names import verbatim
from cclib.study import Study, chains_of
from cclib.traces import Trace

IN_SHORT = "**In short.** "


def _joined(parts: Sequence[str], opening: str = IN_SHORT) -> str:
    return f"{opening}{'; '.join(parts)}." if parts else ""


def reaching_last(chains: Mapping[str, Cascade]) -> str:
    """A line a chain: who reaches the last stage, and how accurate the chain is (Section 2.1)."""
    lines = [
        f"- **{name}**: {_to_last(r):.1%} of {len(r.stage):,} questions reach the last stage; "
        f"accuracy {r.accuracy:.1%}, the last model alone {r.stages[-1].correct.mean():.1%}."
        for name, r in chains_of(chains).items()
    ]
    return "\n".join(lines) or "One model alone makes no chain: name two or more in `models`."


def _to_last(result: Cascade) -> float:
    return float(result.stage_counts[-1] / len(result.stage))


def spared(chains: Mapping[str, Cascade]) -> str:
    """A figure's title: how many questions the chains keep from their last models."""
    kept = [1 - _to_last(r) for r in chains_of(chains).values()]
    if not any(kept):
        return "Every question reaches the last model"
    ends = list(dict.fromkeys(f"{share:.1%}" for share in (min(kept), max(kept))))
    return f"{'Between ' if ends[1:] else ''}{' and '.join(ends)} of the questions never reach the last model"


def half_reaching(last: pd.Series) -> str:
    """A figure's title: from which threshold on half of the questions reach the last stage.

    Args:
        last: the share that does, by the threshold, which it rises with.
    """
    if last.iloc[0] >= 0.5:
        return f"Without any threshold on P(T) {last.iloc[0]:.0%} of the questions reach the last stage"
    if last.iloc[-1] < 0.5:
        return f"At P(T) ≥ {last.index[-1]:g} {last.iloc[-1]:.0%} of the questions reach the last stage"
    return f"Half of the questions reach the last stage at P(T) ≥ {last.index[last.searchsorted(0.5)]:.2f}"


def selection(chains: Mapping[str, Cascade], won: float, lost: float) -> str:
    """Section 2.1, of the longest chain.

    Args:
        won, lost: shares of the questions that only the last, only the first model gets right.
    """
    name, whole = list(chains.items())[-1]
    return (
        f"{IN_SHORT}A question stays where both confidences pass. In {name} {_to_last(whole):.0%} of "
        f"the questions reach the last stage, and {whole.accuracy:.1%} are answered right, "
        f"{whole.stages[-1].correct.mean():.1%} by the last model alone. Raising a threshold only sends "
        "more on. "
        f"Escalation can win {won:.1%} of the questions and lose {lost:.1%}."
    )


def confidences(table: pd.DataFrame) -> str:
    """Section 2.2, from `results.confidence`."""
    kinds = {kind: table[table.index.str.endswith(f": {kind}")] for kind in ("P(T)", "P(IK)")}
    said = [
        f"{kind} has an AUROC of {', '.join(f'{x:.2f}' for x in part['AUROC'])} and an ECE of "
        f"{', '.join(f'{x:.3f}' for x in part['ECE'])}"
        for kind, part in kinds.items()
        if len(part)
    ]
    return (
        f"{IN_SHORT}P(T) comes with the answer; P(IK) needs a probe, and that needs labelled questions. "
        "From the "
        f"smallest model up, {'; '.join(said)}. Ranking is what a threshold needs, calibration what its "
        "value "
        "promises."
    )


def setup(study: Study, subjects: int) -> str:
    """Section 3.1."""
    sizes = cost.stage_sizes(study.test)
    right = ", ".join(f"{name} {t.correct.mean():.1%}" for name, t in zip(study.models, study.test))
    return (
        f"{IN_SHORT}{len(study):,} test questions of {subjects} subjects. By Eq. 3 a pass of "
        f"{study.models[-1]} "
        f"costs {sizes[-1] / sizes[0]:.1f} times one of {study.models[0]}. Answered right: {right}."
    )


def fitted_away(ways: pd.DataFrame, study: Study, other: Study) -> str:
    """Section 4.2, of P(IK) fitted on the other questions in place of the study's own."""
    moves = [
        f"{name.removesuffix(': P(IK)')} from {row['AUROC, fitted at home']:.2f} to "
        f"{row['AUROC, fitted away']:.2f}"
        for name, row in ways.iterrows()
    ]
    return _joined(
        moves,
        f"Fitted on {len(other):,} questions of {verbatim(other.benchmark)} in place of "
        f"{verbatim(study.benchmark)}'s own, the AUROC moves: ",
    )


def elsewhere(name: str, at_home: pd.DataFrame, away: pd.DataFrame, moved: pd.DataFrame) -> str:
    """Section 4.2: what a model keeps at home and away (`results.kept_by_stage`), and how AUROC moves."""
    keeps = []
    for part, place in ((at_home, "at home"), (away, "away")):
        if name in part.index:
            row = part.loc[name]
            right = f", of which {row['accuracy where kept']:.0%} are right," if row["questions kept"] else ""
            keeps.append(f"{row['share kept']:.0%}{right} {place}")
    rank = [
        f"{row['AUROC, home']:.2f} to {row['AUROC, away']:.2f} ({what})" for what, row in moved.iterrows()
    ]
    return f"{IN_SHORT}{name} keeps {' and '.join(keeps)}. AUROC goes from {', '.join(rank)}."


def waiting(waits: pd.DataFrame) -> str:
    """Section 5, from its table of waiting times."""
    if not len(waits):
        return ""
    slower = (waits["mean, cascade / alone"] > 1).sum()
    return (
        f"In {slower} of {len(waits)} chains the mean wait is longer than with the last model alone; the "
        "slowest "
        f"twentieth waits {waits['95th percentile, cascade / alone'].max():.2f} times as long in the "
        "worst chain."
    )


def rounding(table: pd.DataFrame, where: Mapping[str, str], pt: float) -> str:
    """Section 5, from `precision.by_precision`."""
    lines = []
    for (name, step), row in table.iterrows():
        changed, across, tied = (
            row[f"share {of}"] for of in ("of answers changed", "across the threshold", "tied")
        )
        lines.append(
            f"- **{name}**, {step} in bfloat16: {changed:.1%} of {row['questions']:,.0f} answers changed; "
            f"P(T) moved by {row['P(T) moved, mean']:.4f} on average and carried {across:.1%} of the "
            f"questions across {pt:g}; of {tied:.1%} the two likeliest options tied ({where[name]})."
        )
    return "\n".join(lines) or "No model of this edition was read in two precisions at this threshold."


def over_seeds(seeds: pd.DataFrame, chains: Mapping[str, Cascade]) -> str:
    """Section 5, from `sensitivity.over_seeds`: what the probe's seed moves, and other questions would."""
    if len(seeds) < 2:
        return "This edition has no hidden states to fit other probes on, and none were exported with it."
    low, high = stats.accuracy_interval(list(chains.values())[-1].correct)
    accuracy, saving = seeds["accuracy"], seeds["reduced compute, every pass"]
    return (
        f"Over {len(seeds)} probes the accuracy spans {100 * np.ptp(accuracy):.2f} points and the saving "
        f"{100 * np.ptp(saving):.2f}; the interval from drawing other questions is "
        f"{100 * (high - low):.2f} points wide."
    )


def over_splits(splits: pd.DataFrame) -> str:
    """Section 5, from `splits.over_splits`."""
    if not len(splits):
        return "Not possible in this edition: some stage was asked the test questions only."
    moved, saving = splits["PD (points)"], splits["reduced compute, every pass"]
    kinds = verdicts.shown(splits["PD (points) interval"])
    return (
        f"Over {len(splits)} splits the chain is {moved.min():+.2f} to {moved.max():+.2f} points from its "
        f"last model and saves {saving.min():+.1%} to {saving.max():+.1%} with every pass counted; of these "
        f"differences {kinds}. All test parts are drawn from one pool, so some questions are in several."
    )


def handed_over(handed: pd.DataFrame, alone: Trace, auroc: float) -> str:
    """Appendix A.2: U-HLM's table, beside the large model alone.

    Args:
        auroc: of the small model's uncertainty for the tokens that the large one would replace.
    """
    top = handed["accuracy"].idxmax()
    return (
        "The small model's uncertainty tells which tokens the large one would replace with an AUROC of "
        f"{auroc:.2f}. "
        f"The large model alone is right on {alone.correct.mean():.1%} and declines on "
        f"{alone.column('abstained').mean():.1%}; handed tokens {top}, both together are right on "
        f"{handed['accuracy'].max():.1%} and decline on {handed.loc[top, 'share declined']:.1%}, at "
        f"{handed.loc[top, 'cost, every pass']:.0%} of the large model's cost."
    )


def where_sure(study: Study, table: pd.DataFrame, pt: float) -> str:
    """Appendix B, from its table of confidence."""
    right = dict(zip(study.models, study.test))
    return _joined(
        [
            f"{name} answers {right[name].correct.mean():.1%} right, and {row['accuracy where sure']:.1%} "
            "where "
            f"P(T) is at least {pt:g}"
            for name, row in table.iterrows()
        ]
    )


def letters(table: pd.DataFrame) -> str:
    """Section 2.2, from `letter_counts.by_model`: each model's favourite letter, and what it is worth."""
    said = []
    for name, rows in table.groupby(level="model", sort=False) if len(table) else ():
        rows = rows.droplevel("model")
        favourite = (rows["share chosen"] - rows["share right"].fillna(0)).idxmax()
        row, overall = (
            rows.loc[favourite],
            float((rows["share chosen"] * rows["accuracy where chosen"]).sum()),
        )
        right = "" if np.isnan(row["share right"]) else f", where it is right for {row['share right']:.0%}"
        said.append(
            f"{name} chooses {favourite} for {row['share chosen']:.0%} of the questions{right}; "
            f"{row['accuracy where chosen']:.0%} of these answers are right, of all its answers {overall:.0%}"
        )
    return "".join(f"- {line}.\n" for line in said) or "No model of this edition chose letters."


def without_letters(own: pd.DataFrame, pt: float) -> str:
    """Appendix A.1, from `estimators.own_answers` of each model: a line a model and way."""
    said = []
    for name, rows in own.groupby(level="model", sort=False) if "accuracy" in own else ():
        (_, read), *ways = rows.droplevel("model").iterrows()
        for way, row in ways:
            low, high = row["points above as read, interval"]
            kept = f"{pt:g} keeps {row['share kept']:.1%} of the questions, before {read['share kept']:.1%}"
            if row["share kept"]:
                kept += f", and {row['accuracy where kept']:.0%} of these answers are right"
            points = f"{row['points above as read']:+.1f} points [{low:+.1f}, {high:+.1f}]"
            said.append(
                f"- **{name}**, {way}: accuracy {points}; "
                f"AUROC {row['AUROC']:.3f}, before {read['AUROC']:.3f}; {kept}.\n"
            )
    return (
        "".join(said)
        or "Nothing was taken out here: no option probabilities of other questions are recorded."
    )


def prompt_lengths(tokens: Mapping[str, np.ndarray]) -> str:
    """Appendix C.1: the template's length and the prompts' (n,) tokens, a model each."""
    said = [
        f"{np.median(n):,.0f} by {name}'s tokenizer ({n.min():,} to {n.max():,})"
        for name, n in tokens.items()
    ]
    lengths = f"; of tokens, the median prompt has {', '.join(said)}" if said else ""
    characters = len(prompts.MULTIPLE_CHOICE)
    return (
        f"{IN_SHORT}All models read the same {characters} characters of template around a question{lengths}."
    )


def distribution(chains: Mapping[str, Cascade], stay: pd.Series) -> str:
    """Appendix D: who keeps how much, and of which subject (shares that stay, the largest first)."""
    said = [
        f"{name} keeps {1 - _to_last(r):.0%} of the questions from its last model"
        for name, r in chains_of(chains).items()
    ]
    if stay.iloc[0] > stay.iloc[-1]:
        said.append(
            f"{stay.index[0]} stays with the smaller models most often ({stay.iloc[0]:.0%}), "
            f"{stay.index[-1]} least ({stay.iloc[-1]:.0%})"
        )
    return _joined(said)


def _saves(share: float) -> str:
    return f"saves {share:.1%}" if share >= 0 else f"costs {-share:.1%} *more*"


def dollars(chains: Mapping[str, Cascade], table: pd.DataFrame) -> str:
    """Appendix G, from its table of dollars."""
    paid = table.loc[list(chains_of(chains))].dropna()
    return _joined(
        [
            f"{name} saves {row['reduced, paper']:.1%} of its last model's dollars as the paper counts and "
            f"{_saves(row['reduced, every pass'])} with every pass paid for"
            for name, row in paid.iterrows()
        ],
        f"{IN_SHORT}By stand-in prices, ",
    )


def unknown_costs(missing: Sequence[str]) -> str:
    """Appendix G: what a cost lacks, each reason once."""
    lines = "\n".join(f"- {reason}" for reason in dict.fromkeys(missing))
    return lines or "Nothing is missing: all stages have tokens and a price."


def chosen_on_halves(chosen: pd.DataFrame, target: float) -> str:
    """Appendix I: pairs chosen on one half of the questions to lose at most `target`, judged on the other."""
    if not len(chosen):
        return ""
    return (
        f"Asked to lose at most {100 * target:g} point, the chosen pair lost "
        f"{-chosen['difference (points)'].mean():.2f} on new questions and saved "
        f"{chosen['reduced, every pass'].mean():.1%} of the compute with every pass counted "
        f"({chosen['reduced, paper'].mean():.1%} by the paper's count)."
    )


def worth_of_pik(worth: pd.DataFrame) -> str:
    """Section 4.1, from `ablation.worth_of_pik`."""
    if not len(worth):
        return ""
    fair = verdicts.shown(worth["difference at equal share, interval"])
    return (
        f"{IN_SHORT}At an equal share, accuracy with P(IK) against P(T) alone: {fair}. Where neither is "
        "shown, the gain over P(T) alone may be what a higher threshold would have given too."
    )


def paired_and_marginal(differences: pd.DataFrame, accuracy: tuple[float, float]) -> str:
    """Section 3.2: the paper's paired differences (`audit.paired_differences`) beside its accuracy's."""
    alike = differences[differences["p, printed"] > 0.05]["difference (points)"]
    return (
        f"The 70B's accuracy alone has an interval of {100 * (accuracy[1] - accuracy[0]):.1f} points. Yet of "
        f"Table 9's {len(differences)} paired differences only {' and '.join(f'{d:+.2f}' for d in alike)} "
        "points are not significant at 5 % ({ref}`appendix-audit`)."
    )


def significance(judged: Mapping[str, Verdict]) -> str:
    """Appendix E, from the verdict on each chain."""
    kinds = pd.Series([v.kind for v in judged.values()]).value_counts()
    said = [f"{count} of {len(judged)} chains: {kind}" for kind, count in kinds.items()]
    hidden = max([max(0.0, -v.low) for v in judged.values()], default=0)
    return _joined(
        [*said, f"losses of up to {hidden:.1f} points are within the intervals"] if said else [],
        f"{IN_SHORT}Against their last models, ",
    )


def papers_claim(claim: Verdict, printed: Sequence[float]) -> str:
    """Appendix E: the verdict on the paper's 8B → 70B, and Table 9's p-values corrected for their number."""
    p = np.asarray(printed)
    return (
        f"The paper's 8B → 70B {claim}. {len(p)} tests are reported without a correction for their number: "
        f"{(p < 0.05).sum()} are below 0.05, {(stats.holm(p) < 0.05).sum()} after Holm's."
    )


def layers(tables: Mapping[str, pd.DataFrame]) -> str:
    """Appendix H, from `probe_scans.by_layer`: the highest layer, and how many are level with it."""
    lines = [
        f"- **{name}**: layer {verdicts.leader(table, 'AUROC', 'AUROC interval')}."
        for name, table in tables.items()
    ]
    if not lines:
        return ""
    lines += ["", "The highest of many layers is so in part by luck. Where most intervals meet its own, the "]
    lines[-1] += "scan does not say which layer is best, and choosing one by it would choose noise."
    return "\n".join(lines)


def enough_questions(sizes: Mapping[str, pd.DataFrame]) -> str:
    """Appendix H, from `probe_scans.by_size`: from how many training questions on the intervals meet."""
    near = []
    for name, table in sizes.items():
        enough = table.index[table["high"] >= table["low"].iloc[-1]][0]
        near.append(
            f"{name}: from {enough:,} questions on, the interval of the AUROC meets that of all "
            f"{table.index[-1]:,}"
        )
    about = "that more questions would help is not shown there, nor that they would not"
    return _joined([*near, about] if near else [], "")


def probes(table: pd.DataFrame) -> str:
    """Appendix H, from its table of the probe's, P(T)'s and the subject's AUROC."""
    names = {"P(IK)": "the probe", "P(T)": "P(T)", "the subject's rule": "the subject alone"}
    said = []
    for name, row in table.iterrows():
        areas = [
            f"{estimate(row[f'AUROC of {what}'], row[f'AUROC of {what}, interval'], '.2f')} for {who}"
            for what, who in names.items()
        ]
        said.append(f"{name}: AUROC {', '.join(areas)}")
    return _joined(said or ["This edition has no P(IK) to judge"])
