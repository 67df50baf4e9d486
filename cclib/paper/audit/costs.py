"""Compute, tokens and dollars: Eq. 6 from Table 8, what each reduction implies, and every pass counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cclib import paper
from cclib.cost import compute_from_counts, forward_flops, parameters_from_shape
from cclib.paper.audit.digits import overlap, prints_as, reduction_range

SIZES = ("nominal", "all weights", "Eq. 3")  # what N may stand for in Eq. 6


def size_of(model: paper.Model, size: str) -> float:
    """N of a model: as its label says, its published weights, or Eq. 3 from its layers and width.

    Raises:
        ValueError: the meaning of N is not known.
    """
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r}; known: {', '.join(SIZES)}")
    if size == "Eq. 3":
        return parameters_from_shape(model.n_layers, model.d_model)
    return model.nominal if size == "nominal" else model.parameters


def flops_of(labels: Sequence[str], size: str, family: str = "llama-3") -> list[float]:
    return [2 * size_of(paper.model(label, family), size) for label in labels]


def answered_by_stage() -> list[tuple[str, list[str], list[int]]]:
    """(chain, its models, the questions each answered) of every row of Table 8."""
    rows = paper.table(8).set_index("models")
    return [
        (name, paper.stages(name), [int(row[m]) for m in paper.stages(name)]) for name, row in rows.iterrows()
    ]


def equation6() -> pd.DataFrame:
    """Reduced compute by Eq. 6 from Table 8's counts, for each meaning of N, beside Table 1's; per cent."""
    printed = paper.printed(1).set_index("models")["reduced_compute_percent"]
    rows = []
    for name, labels, counts in answered_by_stage():
        by_size = {s: 100 * compute_from_counts(counts, flops_of(labels, s)).reduced for s in SIZES}
        fits = [s for s in SIZES if prints_as(by_size[s], printed[name]) != "no"]
        rows.append(
            {
                "models": name,
                "counts": counts,
                **by_size,
                "printed": printed[name],
                "fit": ", ".join(fits) or "none",
            }
        )
    return pd.DataFrame(rows)


def implied_cost_ratios() -> pd.DataFrame:
    """Cost of the small model as a share of the large one's that makes Eq. 6 print Table 1's reduction.

    A chain of two that keeps a share s of the questions saves s (1 - ratio). The last row is the ratio
    3B / 8B that the two rows before it imply together.
    """
    printed = paper.table(1).set_index("models")["reduced_compute_percent"]
    rows = []
    for name, labels, counts in answered_by_stage():
        if len(labels) == 2:
            kept = counts[0] / sum(counts)
            sizes = {s: np.divide(*flops_of(labels, s)) for s in SIZES}
            rows.append({"models": name, "kept": kept, "needed": 1 - printed[name] / 100 / kept, **sizes})
    frame = pd.DataFrame(rows)
    ratios = frame.set_index("models")
    both = ratios.loc["3B → 70B"] / ratios.loc["8B → 70B"]
    both["kept"] = np.nan
    return pd.concat([frame, both.to_frame("3B / 8B by both").T.rename_axis("models").reset_index()])


def every_pass(size: str = "nominal") -> pd.DataFrame:
    """Table 8's chains by both accountings: share of the last model's compute that is saved, per cent."""
    rows = []
    for name, labels, counts in answered_by_stage():
        flops = flops_of(labels, size)
        paper_cost, all_passes = (compute_from_counts(counts, flops, a) for a in ("paper", "every-pass"))
        rows.append(
            {
                "models": name,
                "answered": counts,
                "passes": np.cumsum(counts[::-1])[::-1].tolist(),
                "Eq. 6, TFLOP": paper_cost.total / 1e12,
                "every pass, TFLOP": all_passes.total / 1e12,
                "last model alone, TFLOP": paper_cost.reference / 1e12,
                "saved by Eq. 6 (%)": 100 * paper_cost.reduced,
                "saved, every pass (%)": 100 * all_passes.reduced,
                "dearer than the last model": bool(all_passes.total > all_passes.reference),
            }
        )
    return pd.DataFrame(rows)


def kept_shares(size: str = "nominal") -> pd.DataFrame:
    """Share of questions that the smaller model of each pair must keep for its reduced compute, by Eq. 6.

    Who keeps a question is the smaller model's own matter, so the share should not depend on what
    comes next: Table 8 has 487 for the 3B before either model.
    """
    rows = []
    counted = {name: counts[0] / sum(counts) for name, _, counts in answered_by_stage()}
    for n, family in ((1, "llama-3"), (3, "qwen3")):
        for row in paper.table(n).to_dict("records"):
            labels = paper.stages(row["models"])
            if len(labels) != 2:
                continue
            ratio = np.divide(*flops_of(labels, size, family))
            share = row["reduced_compute_percent"] / 100 / (1 - ratio)
            rows.append(
                {
                    "table": n,
                    "models": row["models"],
                    "smaller model": labels[0],
                    "saved (%)": row["reduced_compute_percent"],
                    "cost ratio": ratio,
                    "kept, implied": share,
                    "kept, Table 8": counted.get(row["models"], np.nan) if n == 1 else np.nan,
                }
            )
    return pd.DataFrame(rows)


def more_kept_without_pik() -> pd.DataFrame:
    """Reduced compute with and without P(IK), at each threshold on P(T) (Tables 5 and 15).

    Without P(IK) a question has one hurdle less, so at least as many stay and at least as much is saved.
    """
    fifteen, five = paper.table(15), paper.table(5)
    rows = []
    for pt, pair in fifteen.groupby("pt_percent", sort=False):
        reduced = pair.set_index("pik")["reduced_compute_percent"]
        rows.append({"table": 15, "setting": f"8B → 70B, P(T) >= {pt} %", **reduced[["with", "without"]]})
    for name, pair in five.groupby("models", sort=False):
        reduced = pair.set_index("pik")["reduced_compute_percent"]
        rows.append({"table": 5, "setting": name, **reduced[["with", "without"]]})
    frame = pd.DataFrame(rows)
    return frame.assign(agrees=frame["without"] >= frame["with"])


def kept_on_gpqa() -> pd.DataFrame:
    """Table 6's 8B → 70B: the reduced compute that 19 to 21 kept questions give, for each meaning of N.

    The text names 21 questions that P(IK) leaves with the 8B; P(T) may send some of them on.
    """
    printed = paper.printed(6).set_index("models").loc["8B → 70B", "reduced_compute_percent"]
    rows = []
    for kept in range(paper.OOD_KEPT - 2, paper.OOD_KEPT + 1):
        counts = [kept, paper.TEST_QUESTIONS["gpqa"] - kept]
        by_size = {s: 100 * compute_from_counts(counts, flops_of(["8B", "70B"], s)).reduced for s in SIZES}
        fits = [s for s in SIZES if prints_as(by_size[s], printed) != "no"]
        rows.append({"kept": kept, **by_size, "printed": printed, "fit": ", ".join(fits) or "none"})
    return pd.DataFrame(rows)


def reductions_from_totals() -> pd.DataFrame:
    """Reduced tokens (Table 4) and reduced cost (Tables 11 and 13) from the tables' own totals, per cent.

    `least` and `greatest` bound what the totals can give before they were rounded.
    """
    rows = []
    for n, total, reduced in (
        (4, "tokens", "reduced_tokens_percent"),
        (11, "cost_usd", "reduced_cost_percent"),
        (13, "cost_usd", "reduced_cost_percent"),
    ):
        frame = paper.printed(n).set_index("models")
        for name, row in frame[frame[reduced] != ""].iterrows():
            reference = frame.loc[paper.stages(name)[-1], total]
            computed = 100 * (1 - float(row[total]) / float(reference))
            low, high = reduction_range(row[total], reference)
            if prints_as(computed, row[reduced]) != "no":
                fit = "yes"
            else:
                fit = "within rounding" if overlap((low, high), row[reduced]) else "no"
            rows.append(
                {
                    "table": n,
                    "models": name,
                    "total": row[total],
                    "reference": reference,
                    "computed": computed,
                    "least": round(low, 4) + 0.0,
                    "greatest": round(high, 4),
                    "printed": row[reduced],
                    "fit": fit,
                }
            )
    return pd.DataFrame(rows)


def tokens_against_counts() -> pd.DataFrame:
    """What GPT-4o is spared, in per cent: questions (Table 8), output tokens (Table 4), dollars (Table 13).

    Who the first stage keeps does not depend on what comes next, so Table 8's counts hold before GPT-4o.
    """
    eight = paper.table(8).set_index("models")
    four, thirteen = paper.table(4).set_index("models"), paper.table(13).set_index("models")
    rows = []
    for model, chain in (("3B", "3B → 70B"), ("8B", "8B → 70B")):
        name = f"{model} → GPT-4o"
        rows.append(
            {
                "models": name,
                "questions kept (%)": 100 * eight.loc[chain, model] / paper.TEST_QUESTIONS["mmlu"],
                "tokens saved (%)": four.loc[name, "reduced_tokens_percent"],
                "dollars saved (%)": thirteen.loc[name, "reduced_cost_percent"],
            }
        )
    return pd.DataFrame(rows)


def dollars_by_accounting() -> pd.DataFrame:
    """Table 13's chains from its single models and Table 8's counts, if questions were equally long.

    `answers only` charges a question to the stage that answers it, `every pass` to all that ran.
    """
    alone = paper.table(13).set_index("models")["cost_usd"]
    rows = []
    for name, labels, counts in answered_by_stage():
        per_question = alone[labels].to_numpy() / sum(counts)
        once = compute_from_counts(counts, per_question).total
        every = compute_from_counts(counts, per_question, "every-pass").total
        nearer = "answers only" if abs(alone[name] - once) < abs(alone[name] - every) else "every pass"
        rows.append(
            {
                "models": name,
                "answers only": once,
                "every pass": every,
                "printed": alone[name],
                "nearer": nearer,
            }
        )
    return pd.DataFrame(rows)


def context_condition(contexts: Sequence[int] = (100, 1000, 10_000)) -> pd.DataFrame:
    """Eq. 2's context term as a share of its 2N, for each model and number of context tokens.

    By Eq. 3 the share is n_ctx / (12 d_model): the terms are equal at n_ctx = 12 d_model, which is Kaplan
    et al.'s condition (the term is small while d_model is far above n_ctx / 12). The remark under Eq. 4
    names N instead.
    """
    rows = []
    for model in paper.MODELS:
        if model.d_model is None:
            continue
        n = parameters_from_shape(model.n_layers, model.d_model)
        shares = {
            f"n_ctx = {c:,}": forward_flops(n, model.n_layers, c, model.d_model) / (2 * n) - 1
            for c in contexts
        }
        equal = 12 * model.d_model
        rows.append(
            {
                "model": model.hub_id.split("/")[1],
                "d_model": model.d_model,
                "N (Eq. 3)": n,
                **shares,
                "terms equal at n_ctx": equal,
                "N / that": n / equal,
            }
        )
    return pd.DataFrame(rows)
