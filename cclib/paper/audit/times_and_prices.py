"""What the paper's seconds and dollars say of speeds and lengths that it does not print."""

from __future__ import annotations

import re

import pandas as pd

from cclib import paper
from cclib.paper.audit.costs import answered_by_stage, kept_shares
from cclib.paper.audit.digits import span

POPQA_SHORTEST = "What genre is X?"  # the shortest template of a question in the public data set
ANSWER_TOKENS = 3  # "Answer: A", the shortest reply in Table 7's format


def speed_ratios() -> pd.DataFrame:
    """Seconds of the small model in units of the large one's that each pair's Time asks for.

    A pair that keeps a share s of its questions takes r + 1 - s of the large model's time if every pass is
    timed, and r s + 1 - s if only the pass that answers is. Two pairs with one last model imply the ratio of
    their first models, beside the one that a pair of just these asks for. Shares are Table 8's, and for Qwen
    those that Eq. 6 implies.
    """
    kept = {name: counts[0] / sum(counts) for name, labels, counts in answered_by_stage() if len(labels) == 2}
    implied = kept_shares().query("table == 3").set_index("models")["kept, implied"]
    rows = []
    for n, pairs in ((1, ("3B → 8B", "3B → 70B", "8B → 70B")), (3, ("4B → 8B", "4B → 32B", "8B → 32B"))):
        share = pd.Series(kept) if n == 1 else implied
        time = 1 + paper.table(n).set_index("models")["time_percent"] / 100
        every = {pair: time[pair] - (1 - share[pair]) for pair in pairs}
        answering = {pair: every[pair] / share[pair] for pair in pairs}
        direct, small, large = pairs
        rows.append(
            {
                "table": n,
                "ratio": direct.replace(paper.ARROW, " / "),
                "every pass timed": every[direct],
                "by the other pairs": every[small] / every[large],
                "answering passes timed": answering[direct],
                "by the other pairs, answering": answering[small] / answering[large],
            }
        )
    return pd.DataFrame(rows)


def tokens_on_popqa() -> pd.DataFrame:
    """Input tokens a question that Table 11's dollars buy at Table 12's prices, if output were free.

    "prompt, at least" counts the words and marks of Table 7's open-ended prompt with the shortest question of
    the data set: about what a tokenizer makes of it, before the frame of the chat.
    """
    price = paper.table(12).set_index("model")["input_usd_per_million"]
    template = " ".join(paper.printed(7)["prompt"][1:]).replace("{question}", POPQA_SHORTEST)
    dollars = paper.table(11).set_index("models")["cost_usd"]
    rows = []
    for model in price.index.intersection(dollars.index):
        bought = 1e6 * dollars[model] / price[model]
        rows.append(
            {
                "model": model,
                "cost_usd": dollars[model],
                "input tokens bought": round(bought),
                "a question of all": bought / paper.POPQA_ROWS,
                "a question of a tenth": bought / round(paper.POPQA_ROWS / 10),
                "prompt, at least": len(re.findall(r"\w+|[^\w\s]", template)),
            }
        )
    return pd.DataFrame(rows)


def tokens_on_mmlu() -> pd.DataFrame:
    """Input tokens a question that Table 13's dollars buy at Table 12's prices, after the output is paid.

    GPT-4o's output tokens are Table 4's. LLaMA's are not printed: `least` takes three a question, `most`
    none, each with what the printed dollars lost.
    """
    price = paper.table(12).set_index("model") / 1e6
    n = paper.TEST_QUESTIONS["mmlu"]
    written = paper.table(4).set_index("models").loc["GPT-4o", "tokens"] / n
    printed = paper.printed(13).set_index("models")["cost_usd"]
    rows = []
    for model, (per_input, per_output) in price.iterrows():
        least, most = span(printed[model])
        few, many = (written, written) if model == "GPT-4o" else (0, ANSWER_TOKENS)
        rows.append(
            {
                "model": model,
                "cost_usd": float(printed[model]),
                "output tokens a question": f"{written:.1f}" if few else f"{few} to {many}",
                "input tokens a question, least": (least / n - many * per_output) / per_input,
                "input tokens a question, most": (most / n - few * per_output) / per_input,
            }
        )
    return pd.DataFrame(rows)
