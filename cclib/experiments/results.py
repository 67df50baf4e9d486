"""The book's tables: what an edition measured, with intervals, and the paper's numbers beside it.

Every function returns a plain numeric DataFrame; `show` gives it the book's format. Shares are of one,
intervals are 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd

from cclib import cost, stats
from cclib.cascades import Cascade, cascade
from cclib.cost import parameters_from_shape, saving_interval
from cclib.names import slug
from cclib.policies.walks import Step, Walk
from cclib.study import Study
from cclib.traces import Trace, read_trace


def run_card(study: Study) -> pd.DataFrame:
    """What was run, one column a model: sizes, weights, layer, precision, machine, time, seed, versions."""
    if not isinstance(study, Study):
        raise ValueError(f"expected a study, as cclib.load_study returns it, found {study!r}")
    cards = {}
    for name, trace in zip(study.models, study.test):
        about = trace.provenance
        layers, width = about.get("n_layers"), about.get("d_model")
        seconds = None if trace.seconds is None else trace.seconds.sum()
        cards[name] = {
            "parameters (all)": _grouped(about.get("parameters")),
            "parameters (Eq. 3)": _grouped(
                parameters_from_shape(layers, width) if layers and width else None
            ),
            "layers": layers,
            "width": width,
            "layer of P(IK)": about.get("hidden_layer"),
            "weights": str(about.get("checksum", "not known"))[:19],
            "weights as stored": about.get("quantisation"),
            "precision": about.get("dtype"),
            "device": about.get("device"),
            "recorded": about.get("recorded"),
            "test questions": f"{len(trace):,}",
            "time for them": None if seconds is None else f"{seconds:,.1f} s",
            "questions a second": None if seconds is None else f"{len(trace) / seconds:,.1f}",
            "seed of split and probe": study.seed,
            **{f"{k} version": v for k, v in about.get("versions", {}).items()},
        }
    return pd.DataFrame(cards).fillna("not known")


def _grouped(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def accuracy(study: Study, pt: float, pik: float | None, margin: float = 0.01) -> pd.DataFrame:
    """Tables 1 and 3: accuracy, performance drop, reduced compute by both accountings, and time.

    All differences are to the chain's own last model, but for `above_mixing`. "p, equivalence" is small where
    the two differ by less than the margin. "time" is `time_moved`'s.
    """
    rows = {}
    for name, result in study.run_chains(pt, pik).items():
        row: dict[str, object] = {
            "accuracy": result.accuracy,
            "accuracy interval": stats.accuracy_interval(result.correct),
        }
        if len(result.stages) > 1:
            mixing = above_mixing(result, dict(zip(study.models, study.test)))
            row |= against_last_model(result, margin) | {
                "above random mixing (points)": mixing.points if mixing else np.nan,
                "above random mixing, interval": mixing.interval if mixing else stats.NO_INTERVAL,
                "time": time_moved(result),
            }
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


UNEVEN = 2.0  # times as many seconds a token on the slowest tenth of the questions as on the fastest


def seconds_apart(stages: Sequence[Trace]) -> str:
    """Why the seconds of these stages, taken as each was recorded, cannot be compared; "" where they can.

    They measure what else the machine did as well as the model. A trace does not say what that was, but where
    a model's own seconds a token range over a factor of UNEVEN, they are no measure of the model.
    """
    bare = [slug(t.model) for t in stages if t.seconds is None or t.prompt_tokens is None]
    if bare:
        return f"of {', '.join(bare)} no seconds are on record"
    devices = [str(t.provenance.get("device", "not known")) for t in stages]
    if len(set(devices)) > 1:
        return f"the models ran on different devices ({', '.join(devices)})"
    spread = {}
    for trace in stages:
        fast, slow = np.quantile(trace.seconds / np.maximum(trace.prompt_tokens, 1), [0.1, 0.9])
        spread[slug(trace.model)] = slow / fast if fast else np.inf
    worst = max(spread, key=spread.get)
    if spread[worst] > UNEVEN:
        return (
            f"as {worst} was recorded, the slowest tenth of the questions took {spread[worst]:.1f} times as "
            "many seconds a token as the fastest, so that the seconds are not the model's alone"
        )
    return ""


def time_moved(result: Cascade) -> float:
    """Change of the summed seconds of all passes made, against the last model on every question, as a share.

    NaN where `seconds_apart` says that they cannot be compared.
    """
    return np.nan if seconds_apart(result.stages) else -cost.seconds(result, "every-pass").reduced


def macro(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 2: macro precision, recall and F1 over the options, with intervals."""
    rows, names = {}, ("precision", "recall", "F1")
    for name, result in study.run_chains(pt, pik).items():
        scores, ends = macro_of(result)
        pairs = zip(names, scores, ends)
        rows[name] = {k: v for n, score, end in pairs for k, v in ((n, score), (f"{n} interval", end))}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


def macro_of(result: Cascade) -> tuple[stats.Macro, stats.Macro]:
    """Macro scores and their intervals; NaN where predictions are not on record."""
    answer, said = result.stages[0].column("answer"), result.prediction
    if said is None or answer is None:
        answer = said = []
    return stats.macro(answer, said), stats.macro_intervals(answer, said)


def stage_counts(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Table 8: questions answered by each model, a row a chain; NaN where a model is not in it."""
    rows = {
        name: dict(zip((t.model for t in result.stages), result.stage_counts))
        for name, result in study.run_chains(pt, pik).items()
        if len(result.stages) > 1
    }
    names = {t.model: m for t, m in zip(study.test, study.models)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename(columns=names)
    return table.reindex(columns=[m for m in study.models if m in table]).rename_axis("chain")


def significance(study: Study, pt: float, pik: float | None, margin: float = 0.01) -> pd.DataFrame:
    """Table 9: each chain against its last model on the same questions, by McNemar's test.

    "p, Holm" is corrected for the number of chains; "p, equivalence" is small where the two differ by less
    than the margin.
    """
    rows, names = {}, {t.model: m for t, m in zip(study.test, study.models)}
    for name, result in study.run_chains(pt, pik).items():
        if len(result.stages) > 1:
            test = stats.mcnemar(result.correct, result.stages[-1].correct)
            rows[f"{name} vs. {names[result.stages[-1].model]}"] = {
                "only chain right": test.b,
                "only last right": test.c,
                "chi-squared": test.chi2,
                "p": test.p,
                "test": test.test,
                "p, equivalence": stats.equivalence(test.b, test.c, len(study), margin),
            }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("comparison")
    if rows:
        table.insert(4, "p, Holm", stats.holm(table["p"]))
    return table


def confidence(study: Study) -> pd.DataFrame:
    """How well P(T) and P(IK) tell right answers from wrong ones, a row a model and confidence."""
    rows = {}
    for name, trace in zip(study.models, study.test):
        for kind, score in (("P(T)", trace.p_t), ("P(IK)", trace.p_ik)):
            if score is not None:
                rows[f"{name}: {kind}"] = {
                    "AUROC": stats.auroc(trace.correct, score),
                    "AUROC interval": stats.auroc_interval(trace.correct, score),
                    "Brier": stats.brier(trace.correct, score),
                    "Brier interval": stats.brier_interval(trace.correct, score),
                    "ECE": stats.ece(trace.correct, score),
                    "ECE interval": stats.ece_interval(trace.correct, score),
                }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("confidence")


def on_record(study: Study) -> pd.DataFrame:
    """Accuracy on the test part and on all questions that an export holds of a model; empty where no more."""
    rows = {}
    for stage, (name, test) in enumerate(zip(study.models, () if study.live else study.test)):
        whole = read_trace(study.folder(stage)).answered()
        if len(whole) == len(test):
            continue
        for part, right in (("test part", test.correct), ("all on record", whole.correct)):
            rows[f"{name}, {part}"] = {
                "questions": len(right),
                "accuracy": stats.accuracy(right),
                "accuracy interval": stats.accuracy_interval(right),
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def of_the_kept(right: np.ndarray, keeps: np.ndarray) -> dict[str, object]:
    """The share of (n,) answers that are kept, and how right these are, each with its interval."""
    kept = right[keeps]
    return {
        "share kept": float(keeps.mean()),
        "share kept, interval": stats.accuracy_interval(keeps),
        "accuracy where kept": stats.accuracy(kept) if len(kept) else np.nan,
        "accuracy where kept, interval": stats.accuracy_interval(kept) if len(kept) else stats.NO_INTERVAL,
    }


def kept_by_stage(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """What each stage would keep of all questions, and how much of that is right."""
    rows = {}
    for name, trace in zip(study.models[:-1], study.test[:-1]):
        if trace.p_t is None:
            continue
        usable = pik if trace.p_ik is not None else None
        keep = cascade([trace, study.test[-1]], pt, usable).stage == 0
        rows[name] = {
            "questions kept": int(keep.sum()),
            **of_the_kept(trace.correct, keep),
            "accuracy where passed on": stats.accuracy(trace.correct[~keep]),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def walk(study: Study, index: int, pt: float, pik: float | None) -> Walk:
    """The stages that the study's question number `index` goes through, from its traces."""
    result, theta_ik = cascade(study.test, pt, study.threshold(pik)), study.threshold(pik)
    steps = []
    for i, trace in enumerate(study.test[: result.stage[index] + 1]):
        p_t, p_ik, chosen = (
            None if column is None else column[index].item()
            for column in (trace.p_t, trace.p_ik, trace.column("prediction"))
        )
        last, right = i == len(study.test) - 1, bool(trace.correct[index])
        right = right if i == result.stage[index] else None
        chosen = int(chosen) if chosen is not None and chosen >= 0 else -1  # a reply may name no option
        steps.append(Step(study.models[i], p_t, p_ik, chosen, pt, theta_ik, last, right))
    return Walk(study.questions[index] if study.live else None, steps)


def fates(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Right, false and declined responses of every model and chain, with intervals (Table 11)."""
    rows = {}
    for name, result in study.run_chains(pt, pik).items():
        declined = np.choose(result.stage, [t.column("abstained").astype(bool) for t in result.stages])
        false = ~result.correct & ~declined
        rows[name] = {
            "accuracy": stats.accuracy(result.correct),
            "accuracy interval": stats.accuracy_interval(result.correct),
            "share false (hallucination rate)": stats.accuracy(false),
            "share false, interval": stats.accuracy_interval(false),
            "share declined": stats.accuracy(declined),
            "share answered by the last stage": result.stage_counts[-1] / len(study),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


GRID = np.linspace(0, 1, 101)


def points_above(right: np.ndarray, other: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Accuracy of (n,) answers above that of others to the same questions, in points, and its interval."""
    low, high = stats.paired_difference_interval(right, other)
    return stats.performance_drop(float(other.mean()), float(right.mean())).absolute, (100 * low, 100 * high)


@dataclass(frozen=True)
class Mixing:
    """A cascade against random mixing of two models that costs as much; points of accuracy."""

    models: tuple[str, str]  # that are mixed, the smaller first
    points: float
    interval: tuple[float, float]
    dearer: bool  # the cascade costs as much as its last model alone, or more


def above_mixing(result: Cascade, models: Mapping[str, Trace]) -> Mixing | None:
    """A cascade against the best random mixing of any two models at its compute, every pass counted.

    A mixture asks the larger model for a random share of the questions and the smaller for the rest, so many
    that it costs what the cascade spent on these questions: no confidence, one pass a question. Of all pairs
    that one is taken which is most accurate here. The interval is a paired bootstrap's, the spending taken as
    given; where the mixture is one model alone it is the score interval. None where compute is not known.
    """
    flops = {m: cost.stage_compute(n, 1) for m, n in zip(models, cost.stage_sizes(list(models.values())))}
    spent = cost.compute(result, "every-pass").total / len(result.stage)
    right = {name: np.asarray(trace.correct, float) for name, trace in models.items()}
    mixed = {}  # (n,) the chance that each mixture is right, by its pair and the share of the larger
    for a, b in permutations(models, 2):
        if flops[a] <= spent and flops[a] < flops[b]:
            share = min((spent - flops[a]) / (flops[b] - flops[a]), 1)
            mixed[a, b, share] = (1 - share) * right[a] + share * right[b]
    if not mixed:
        return None
    a, b, share = max(mixed, key=lambda pair: mixed[pair].mean())
    gain = np.asarray(result.correct, float) - mixed[a, b, share]
    if share == 1:
        interval = points_above(result.correct, models[b].correct)[1]
    else:
        low, high = stats.bootstrap(lambda drawn: drawn.mean(axis=1), gain, vectorised=True)
        interval = (100 * low, 100 * high)
    alone = cost.stage_compute(cost.stage_sizes(result.stages)[-1], 1)
    return Mixing((a, b), float(100 * gain.mean()), interval, bool(spent >= alone))


def against_last_model(result: Cascade, margin: float = 0.01) -> dict[str, object]:
    """A cascade against its last model, with intervals and by both accountings.

    "p, equivalence" is of two one-sided tests that the two differ by the margin (a share of one) or more.
    """
    last = result.stages[-1].correct
    points, interval = points_above(result.correct, last)
    test, alone = stats.mcnemar(result.correct, last), float(last.mean())
    relative = tuple(x / alone for x in interval) if alone else stats.NO_INTERVAL
    return {
        "accuracy": result.accuracy,
        "accuracy interval": stats.accuracy_interval(result.correct),
        "PD (points)": points,
        "PD (points) interval": interval,
        "p, equivalence": stats.equivalence(test.b, test.c, len(last), margin),
        "PD (relative)": stats.performance_drop(alone, result.accuracy).relative,
        "PD (relative) interval": relative,
        "reduced compute, paper": cost.reduced(result),
        "reduced compute, paper, interval": saving_interval(result, "paper"),
        "reduced compute, every pass": cost.reduced(result, "every-pass"),
        "reduced compute, every pass, interval": saving_interval(result, "every-pass"),
    }


def in_brief(result: Cascade) -> dict[str, object]:
    """What a table of many runs shows of `against_last_model`."""
    row, points = against_last_model(result), ("PD (points)", "PD (points) interval", "p, equivalence")
    shown = ("accuracy", *points, "reduced compute, paper", "reduced compute, every pass")
    return {name: row[name] for name in shown}


def to_frame(rows: dict, names: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame.from_dict(rows, orient="index")
    if len(names) > 1:
        frame.index = pd.MultiIndex.from_tuples(list(rows), names=names)
    return frame.rename_axis(names if len(names) > 1 else names[0])
