"""Which policy: what each family saves with a proof, at several drops, and how all fare on new questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cclib import cost, replay
from cclib.experiments.commercial_api import GPT4, GPT4_PRICE, gpt4_answers
from cclib.experiments.routing.frontier import hull
from cclib.policies import Candidates, PolicyChoice, choose_policy
from cclib.policies.charges import charges
from cclib.policies.families import BOTH, CHAIN, GATE, ONE_MODEL, ONE_SCORE, PAPER, ROUTER, Group
from cclib.policies.findings import drop_interval, saving_interval
from cclib.policies.proof import Measured, measure
from cclib.prices import Prices
from cclib.stats import NO_INTERVAL
from cclib.study import Study

DROPS = (0.0, 0.01, 0.02)
CHOSEN = "chosen among all"
PT_ALONE = {PAPER: f"{PAPER}, without P(IK)"}
LINES = {  # of the figure: families, and the fewest and most models
    "pairs": ((PAPER, ONE_SCORE), 2, 2),
    "long chains": ((PAPER, CHAIN), 3, 99),
    "learned gate": ((GATE,), 2, 99),
    "routers": ((ROUTER, BOTH), 2, 99),
}


@dataclass(frozen=True)
class Comparison:
    """All families on one study; shares are of one, costs of what the last model alone costs."""

    unit: str
    candidates: Candidates | None = None
    choices: dict[float, PolicyChoice] = field(default_factory=dict)  # by the drop that is allowed
    families: pd.DataFrame = field(default_factory=pd.DataFrame)  # a row a family, a column a drop
    bounds: pd.DataFrame = field(default_factory=pd.DataFrame)  # what hindsight saves, a column a drop
    judged: pd.DataFrame = field(default_factory=pd.DataFrame)  # the chosen policies on the test questions
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # cost, accuracy: test
    models: dict[str, tuple[float, float]] = field(default_factory=dict)  # cost, accuracy of each alone
    missing: str = ""  # why there is nothing to compare
    names: dict[str, str] = field(default_factory=dict)  # families that are less here than their names say


def compare(study: Study, prices: Prices | None = None, drops: Sequence[float] = DROPS) -> Comparison:
    """Choose a policy at each drop from the same candidates, and judge it on the test questions.

    Args:
        prices: as `cclib.prices.read_prices`: what is saved is then in dollars. Default: in FLOPs, or in
            dollars of the paper's prices where a model's size is not known.
    """
    sized = not np.isnan(cost.stage_sizes(study.test)).any()
    how = {"unit": "FLOPs" if sized and prices is None else "USD", "prices": prices}
    try:
        made = Candidates.of(study)
        on, at = made.judging, charges(made.judging.stages, **how)
        choices = {drop: choose_policy(made, drop, **how) for drop in drops}
    except ValueError as error:
        return Comparison(how["unit"], missing=str(error))
    of_models = {g.members[0]: g for g in made.groups if g.family == ONE_MODEL}
    alone = {
        study.models[i]: _point(measure(g.policies[0], g.members, on, at, 1.0), on.right[-1])
        for i, g in of_models.items()
    }
    known = charges(made.making.stages, **how)
    curves = {}
    for name, (families, least, most) in LINES.items():
        groups = [g for g in made.groups if g.family in families and least <= len(g.members) <= most]
        if groups:
            kept = _envelope(groups, made, known)
            points = sorted(_point(measure(p, g.members, on, at, 1.0), on.right[-1]) for g, p in kept)
            curves[name] = tuple(np.array(points).T)
    curves["mixing at random"] = _mixing(list(alone.values()))
    curves["oracle"] = _oracle(on.right, at.passes)
    judged, names = {}, PT_ALONE if all(g.scores == "P(T)" for g in made.groups if g.family == PAPER) else {}
    for drop, choice in choices.items():
        members = [study.models.index(m) for m in choice.policy.models]
        found = measure(choice.policy, members, on, at, 1.0)
        run = choice.policy.follow([on.stages[i] for i in members], [on.readings[i] for i in members])
        difference, family = tuple(-100 * x for x in drop_interval(found)[::-1]), choice.policy.family
        judged[_label(drop)] = {
            "family": names.get(family, family) if choice.proven else "the last model alone",
            "chain": choice.policy.name,
            "share saved, when proven": choice.saved,
            "share saved, when proven, interval": choice.saved_interval,
            "share asked of the last model, test": run.ran[-1].mean(),
            "share saved, test": 1 - found.cost,
            "share saved, test, interval": saving_interval(found),
            "difference, test (points)": 0.0 - 100 * found.drop,
            "difference, test (points) interval": difference if choice.proven else NO_INTERVAL,
        }
    return Comparison(
        how["unit"],
        made,
        choices,
        by_family(choices).rename(index=names),
        pd.DataFrame({_column(drop): c.bounds["saved"] for drop, c in choices.items()}),
        pd.DataFrame.from_dict(judged, orient="index").rename_axis("may be lost"),
        curves,
        alone,
        names=names,
    )


def before_gpt4(study: Study) -> pd.DataFrame | None:
    """The policies that are chosen, and judged, where GPT-4 is asked after the study's models; in dollars.

    Dollars count GPT-4 alone: a question's tokens as the largest local tokenizer divides them, one of answer.
    None where GPT-4's answers, and figures of them, are not at hand.
    """
    gpt4 = gpt4_answers(study)
    if gpt4 is None:
        table, of = replay.read_figures(Path(study.source.traces_dir) / replay.GPT4_POLICY)
        return table if of == [len(study)] else None
    k, parts = len(study.models), {}
    for part in replay.PARTS:
        local = [study.part(i, part) for i in range(k)]
        if any(t is None for t in local):
            return None
        last = gpt4.select(local[-1].question_id).with_column("prompt_tokens", local[-1].prompt_tokens)
        parts[part] = [t.with_column("output_tokens", np.ones(len(t))) for t in [*local, last]]
    longer = replace(study, models=[*study.models, GPT4], probes=[*study.probes, None], **parts)
    prices = dict.fromkeys(study.models, (0.0, 0.0)) | {GPT4: GPT4_PRICE}
    return compare(longer, prices).judged


def _label(drop: float) -> str:
    return f"{100 * drop:g} point" + ("" if drop == 0.01 else "s")


def _column(drop: float) -> str:
    return f"share saved, {_label(drop)}"


def best_at(curves: dict[str, tuple[np.ndarray, np.ndarray]], spent: float) -> pd.Series:
    """The accuracy of each curve at a cost, mixing neighbours at random; the highest first, none beyond."""
    found = {
        name: np.interp(spent, x, np.maximum.accumulate(y), left=np.nan) for name, (x, y) in curves.items()
    }
    return pd.Series(found).dropna().sort_values(ascending=False)


def by_family(choices: dict[float, PolicyChoice]) -> pd.DataFrame:
    """What each family saves at each drop where that is proven, else NaN; then the choice, and bounds."""
    columns = {}
    for drop, choice in choices.items():
        proven = choice.families[choice.families["proven"]]
        saved, interval = proven["saved"].to_dict(), proven["saved interval"].to_dict()
        if choice.proven:
            saved[CHOSEN], interval[CHOSEN] = choice.saved, choice.saved_interval
        rows = [*choice.families.index, CHOSEN]
        for bound in ("mixing at random", "oracle"):
            saved[bound] = choice.bounds.loc[bound, "saved"]
            rows.append(bound)
        name = _column(drop)
        columns[name] = pd.Series(saved, dtype=float).reindex(rows)
        columns[f"{name}, interval"] = pd.Series([interval.get(r, NO_INTERVAL) for r in rows], rows)
    return pd.DataFrame(columns).rename_axis("family")


def _point(made: Measured, last: np.ndarray) -> tuple[float, float]:
    """(cost, accuracy)"""
    return made.cost, float(last.mean() - made.drop)


def _envelope(groups: Sequence[Group], made: Candidates, at) -> list[tuple]:
    """(group, policy) of the candidates that nothing cheaper beats on the questions that made them."""
    pooled = [(g, p) for g in groups for p in g.policies]
    found = [measure(p, g.members, made.making, at, 1.0) for g, p in pooled]
    spent, drop = np.array([m.cost for m in found]), np.array([m.drop for m in found])
    order = np.lexsort((drop, spent))
    best = np.minimum.accumulate(np.r_[np.inf, drop[order][:-1]])
    return [pooled[j] for j in order[drop[order] < best]]


def _mixing(models: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The best that drawing lots among the models gives: the corners of their (cost, accuracy) hull."""
    cost, accuracy = hull(*np.array(models).T)
    rises = np.diff(accuracy, prepend=-1.0) > 0
    return cost[rises], accuracy[rises]


def _oracle(right: np.ndarray, passes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Asks the cheapest model that is right: of questions beyond the first model, the cheapest gains first.

    Args:
        right: (k, n) bool.
        passes: (k, n) costs.
    """
    n, whole = right.shape[1], passes[-1].sum()
    cheapest = np.where(right, passes, np.inf).argmin(0)
    more = np.take_along_axis(passes, cheapest[None], 0)[0] - passes[0]  # (n,) than the first model
    gains = np.sort(more[right.any(0) & ~right[0]])
    spent = (passes[0].sum() + np.r_[0, gains.cumsum()]) / whole
    accuracy = (right[0].sum() + np.arange(len(gains) + 1)) / n
    thin = np.unique(np.linspace(0, len(gains), 50).astype(int))
    return spent[thin], accuracy[thin]
