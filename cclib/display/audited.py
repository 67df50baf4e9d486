"""What Appendix J's checks found, in sentences: each takes the table that the page shows beside it.

The tables are of `cclib.paper.audit`. Functions return Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from cclib.display import verdicts
from cclib.stats import Drop


def checks(table: pd.DataFrame) -> str:
    whole, none = (table["fit"] == table["numbers"]).sum(), (table["fit"] == 0).sum()
    return (
        f"**In short.** {len(table)} checks, {table['numbers'].sum()} numbers, {table['fit'].sum()} of "
        "them fit. "
        f"In {whole} checks all numbers fit, in {none} none. A number that does not fit need not be wrong: "
        "it can come from inputs that the paper does not print."
    )


def whole_numbers(counts: pd.DataFrame, questions: int) -> str:
    odd = counts[counts["fit"] == "no"]
    listed = "; ".join(f"Table {r.table}, {r.setting}, {r.printed} %" for r in odd.itertuples())
    return (
        f"{len(counts) - len(odd)} of {len(counts)} accuracies are a whole number of questions. The others: "
        f"{listed}. A number with two decimals drawn at random would fit {questions:,} questions "
        f"{(questions + 1) / 10_001:.0%} of the time."
    )


def drop_definitions(drops: pd.DataFrame) -> str:
    kinds = drops.groupby("table")["fit"].agg(lambda fits: min(fits, key=len))
    said = [f"{kind} in Tables {', '.join(map(str, part.index))}" for kind, part in kinds.groupby(kinds)]
    return f"{'; '.join(said)}."


def smallest_drop(right: int, reference: int, drop: Drop, printed: object) -> str:
    return (
        f"{right:,} right answers against {reference:,} are {drop.absolute:.4f} points, or "
        f"{drop.relative:.4f} % "
        f"of the reference. Only the second is printed as {printed}."
    )


def equation6(table: pd.DataFrame) -> str:
    printed = table["printed"].astype(float)
    gap = table["nominal"] - printed
    nearest = min(("nominal", "all weights", "Eq. 3"), key=lambda s: (table[s] - printed).abs().max())
    return (
        f"{(table['fit'] != 'none').sum()} of {len(table)} printed reductions follow. By the labels' "
        "sizes all come "
        f"out higher than printed, by {gap.min():.2f} to {gap.max():.2f} points; the nearest sizes are "
        f"“{nearest}”."
    )


def cost_ratios(needed: pd.DataFrame) -> str:
    direct, both = needed["needed"].iloc[[0, -1]]
    return (
        f"3B → 8B needs a ratio of {direct:.3f}; the two pairs with 70B imply {both:.3f}. No one set of "
        "sizes gives "
        "all three, so something else entered: questions of different length, say, if those that "
        "escalate are longer."
    )


def kept_shares(shares: pd.DataFrame) -> str:
    before_8b, before_32b = shares[shares["smaller model"] == "4B"]["kept, implied"].iloc[:2]
    return (
        f"For the 4B, the two reductions imply that it keeps {before_8b:.1%} and {before_32b:.1%} of the "
        "questions: "
        f"{before_32b / before_8b:.2f} times as many before the 32B as before the 8B. Other sizes do not "
        "bring them "
        "together (first exercise)."
    )


def every_pass(passes: pd.DataFrame) -> str:
    said = [
        f"**{r['models']}** saves {r['saved by Eq. 6 (%)']:.2f} % by Eq. 6 and costs "
        f"{-r['saved, every pass (%)']:.2f} % *more* than its last model alone when every pass is counted"
        for r in passes[passes["dearer than the last model"]].to_dict("records")
    ]
    return f"{'; '.join(said)}. The other chains save less than by Eq. 6, but they do save."


def coin(table: pd.DataFrame) -> str:
    coins = {
        "Over a coin with the same shares": "gain over it (points)",
        "Over random mixing at the same compute, every pass counted,": "gain over that (points)",
    }
    said = []
    for over, gain in coins.items():
        gains = ", ".join(f"{r[gain]:+.2f} ({r['models']})" for r in table.to_dict("records"))
        below = ", ".join(table[table[gain] < 0]["models"]) or "none"
        said.append(f"{over} the chains gain {gains} points; not above it: {below}.")
    dearer = ", ".join(table[table["compute, every pass"] > 1]["models"])
    return f"{' '.join(said)} The last model alone is the better buy than {dearer}, which cost more than it."


def speed_ratios(speeds: pd.DataFrame) -> str:
    llama = speeds.iloc[0]
    return (
        f"If every pass is timed, 3B → 8B asks for a 3B that takes {llama['every pass timed']:.2f} of the "
        "8B's time, "
        f"and the two pairs with 70B ask for {llama['by the other pairs']:.2f}. If only answering passes "
        "are, "
        f"{llama['answering passes timed']:.2f} and {llama['by the other pairs, answering']:.2f}. Neither "
        "reading "
        "gives one ratio; batches, loading or another machine may enter."
    )


def discordant_counts(tests: pd.DataFrame) -> str:
    fits = tests[tests["fit"] == "yes"]
    plain = fits["(b, c), plain"].map(bool).sum()
    return (
        f"{len(fits)} of {len(tests)} rows fit, each with exactly one pair. {plain} of them fit without the "
        "continuity correction, so the corrected statistic was used. No pair fits: "
        f"{'; '.join(tests[tests['fit'] == 'no']['comparison'])}. In "
        f"{(fits['digits'] == 'cut off').sum()} of those "
        "that fit, digits were cut off instead of rounded."
    )


def nearest_differences(near: pd.DataFrame, corrected: float, plain: float) -> str:
    return (
        f"Both rows fit with {near['away'].min()} questions more between the cascade and its last model. "
        "There is a "
        f"second reading: the counts 9 and 41 alone give {corrected:.2f} with the correction and {plain:.2f} "
        "without it, which are the two printed values. The printed p-values are far below 0.05 either way."
    )


def differences(table: pd.DataFrame, counted: pd.Series, questions: int) -> str:
    """The verdict on each difference by the (b, c) that fit it, and which are significant."""
    printed = table["p, printed"]
    alike = " and ".join(f"{d:+.2f}" for d in table[printed > 0.05]["difference (points)"])
    also = table[(printed <= 0.05) & (table["p, Holm"] > 0.05)]["comparison"]
    holm = f"; with Holm's correction for {len(table)} tests, those of {' and '.join(also)} are not either"
    lines = [
        f"- **{name}**: the cascade {verdicts.judge(*pairs[0], questions)}."
        for name, pairs in counted.items()
    ]
    return (
        "\n".join(lines)
        + f"\n\nBy the printed p-values the differences of {alike} points alone are not significant"
        + f"{holm if len(also) else ''}."
    )


def shared_results(shared: Mapping[str, Sequence], counted: pd.Series) -> str:
    first, second = shared["cascade"]
    pair = " and ".join(map(str, counted[f"{first} vs 8B"][0]))
    return (
        f"{first} and {second} share their drop ({shared['pd_percent'][0]} points), statistic "
        f"({shared['chi_squared'][0]}) and p ({shared['p_value'][0]}) to every printed digit. Both then "
        "come from the "
        f"same two counts, {pair}."
    )


def less_saved_without_pik(odd: pd.DataFrame) -> str:
    said = []
    for r in odd.to_dict("records"):
        chain, threshold = r["setting"].split(", ")[0], r["setting"].split(", ")[-1]
        said.append(
            f"At {threshold} ({chain}) {r['with']} % is saved with P(IK) and {r['without']} % without it"
        )
    return f"{'; '.join(said)}. Under the rule of Section 2.1 the second cannot be the smaller."


def popqa_rates(rates: pd.DataFrame, apart: pd.Series) -> str:
    """Table 11's shares, a row a setting, and its accuracies less those of Table 10."""
    worst = rates["wrong"].idxmax()
    return (
        "Table 10's own differences are right. The two tables differ by up to "
        f"{100 * apart.abs().max():.2f} points, "
        "as two runs of a judge that searches the web may. Right and wrong leave the share that is neither: "
        f"{rates['neither'].max():.0%} for {rates['neither'].idxmax()}. The highest rate of wrong answers "
        "belongs to "
        f"{worst} ({rates.loc[worst, 'wrong']:.1%})."
    )


def reductions(totals: pd.DataFrame) -> str:
    return (
        f"{(totals['fit'] == 'yes').sum()} of {len(totals)} reductions follow from the printed totals "
        "digit by digit, "
        f"the other {(totals['fit'] == 'within rounding').sum()} within what rounding the totals allows."
    )


def dollars(table: pd.DataFrame) -> str:
    above = table["printed"] / table["answers only"] - 1
    return (
        f"{(table['nearer'] == 'answers only').sum()} of {len(table)} printed costs are nearer to "
        "charging the "
        f"answering stage only, and lie {above.min():.0%} to {above.max():.0%} above it: again what "
        "longer escalated "
        "questions would do."
    )


def mmlu_lengths(lengths: pd.DataFrame) -> str:
    """Lengths of prompts, a row a model."""
    tokens = lengths.filter(like="input tokens")
    llama = tokens.drop("GPT-4o")
    return (
        f"They do: {llama.iloc[:, 0].min():.0f} to {llama.iloc[:, 1].max():.0f} tokens for LLaMA, "
        f"{tokens.loc['GPT-4o'].mean():.0f} for GPT-4o."
    )


def popqa_lengths(bought: pd.DataFrame) -> str:
    small = bought.iloc[0]
    return (
        f"${small['cost_usd']:.4f} at the {bought.index[0]}'s price buys "
        f"{small['input tokens bought']:,.0f} tokens: "
        f"{small['a question of all']:.1f} a question for all of PopQA, "
        f"{small['a question of a tenth']:.0f} for a "
        f"tenth. The prompt alone has about {small['prompt, at least']:.0f} or more. The reduced costs "
        "are ratios of "
        "such totals; the totals must be of something else than Table 7's prompt on either set."
    )


def probe_f1(table: pd.DataFrame) -> str:
    kinds = [f"“{kind}”" for kind in ("know", "does not know", "mean of both") if table[kind].all()]
    return (
        f"Possible for both models: {', '.join(kinds)}. As the F1 of the questions that the model knows, "
        "the printed "
        "values would need more misses than there are errors."
    )


def context_term(context: pd.DataFrame) -> str:
    equal, fewer = context["terms equal at n_ctx"], context["N / that"]
    return (
        f"For a question of 150 tokens the term is at most {context['n_ctx = 150'].max():.2%}, so "
        "dropping it is "
        f"harmless on MMLU. It equals $2N$ at {equal.min():,} to {equal.max():,} tokens, which is "
        f"{fewer.min():,.0f} to "
        f"{fewer.max():,.0f} times fewer than $N$."
    )


def kept_on_gpqa(table: pd.DataFrame) -> str:
    """Savings by Eq. 6, a row a number of questions kept."""
    ranges = table[["nominal", "all weights", "Eq. 3"]].agg(["min", "max"], axis=1)
    by_count = "; ".join(f"{k} kept give {low:.2f} to {high:.2f}" for k, (low, high) in ranges.iterrows())
    none = (table["fit"] == "none").all()
    opening = "No whole number of questions prints" if none else "Printed as"
    return f"{opening} {table['printed'].iloc[0]}: {by_count}."
