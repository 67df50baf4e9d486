"""Table 13 for an edition: dollars of its chains, by listed prices and stand-ins where there is none."""

from __future__ import annotations

import pandas as pd

from cclib import cost
from cclib.paper import published
from cclib.prices import read_prices
from cclib.study import Study


def stand_in_prices(study: Study) -> dict[str, tuple[float, float]]:
    """Table 12, and for each model that it does not list the 8B's price in proportion to its parameters.

    Parameters are Eq. 3's; a model of unknown size has no price. It is no offer by anybody: only ratios have
    a meaning.

    Returns:
        {model: dollars a million tokens (of the prompt, of the answer)}, as `cost.dollars` takes them.
    """
    listed = read_prices().iloc[:, :2].astype(float)
    of_8b = listed.loc["meta-llama-3.1-8b-instruct"] / published.model("8B").nominal
    sizes = zip(study.test, cost.stage_sizes(study.test))
    prices = {trace.model.lower(): tuple(of_8b * size) for trace, size in sizes if size == size}
    return prices | {model: tuple(row) for model, row in listed.iterrows()}


def by_chain(study: Study, pt: float, pik: float | None) -> pd.DataFrame:
    """Dollars for 1,000 questions like the study's, a row a model or chain, by stand-in prices.

    Returns:
        By both accountings, "USD, ..." and the shares of the last model's dollars that are saved; NaN where
        tokens or a size are not known.
    """
    rows, prices = {}, stand_in_prices(study)
    for name, result in study.run_chains(pt, pik).items():
        paper, every = (cost.dollars(result, prices, accounting) for accounting in cost.ACCOUNTINGS)
        rows[name] = {
            "USD, answering stage": 1000 * paper.total / len(study),
            "USD, every pass": 1000 * every.total / len(study),
            "reduced, paper": paper.reduced,
            "reduced, every pass": every.reduced,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model or chain")


def before_gpt4(before: pd.DataFrame, local: float) -> pd.DataFrame:
    """What is paid for 1,000 questions where a local model is asked before GPT-4, its own passes included.

    Args:
        before: of `commercial_api.before_gpt4`; its first row is GPT-4 alone.
        local: dollars of the local model's passes on 1,000 questions.
    """
    gpt4 = before["USD for 1,000 questions"]
    paid = pd.DataFrame({"USD, GPT-4": gpt4, "USD, local passes": [0.0] + [local] * (len(gpt4) - 1)})
    paid["USD, both"] = paid.sum(axis=1, skipna=False)
    paid["reduced, GPT-4's alone"] = 1 - gpt4 / gpt4.iloc[0]
    paid["reduced, both"] = 1 - paid["USD, both"] / gpt4.iloc[0]
    return paid
