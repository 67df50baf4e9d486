"""What the chapter at the paper's size says of its tables (see `cclib.experiments.paper_size`)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cclib.display.in_short import IN_SHORT
from cclib.display.verdicts import estimate, shown


def in_short(found: Mapping[str, pd.DataFrame], small: str, large: str, proxy: str) -> str:
    """The chapter in two paragraphs: what is known beforehand, and what deciding is worth (Markdown)."""
    pair, reading = found["pairs"].iloc[0], found["known"]["AUROC, proxy's reading"]
    own = [pair[f"AUROC of only the large, reading{ending}"] for ending in ("", ", interval")]
    return (
        f"{IN_SHORT}{small} is right in {pair['accuracy of the small']:.1%} and {large} in "
        f"{pair['accuracy of the large']:.1%}; only the large one in {pair['only the large']:.1%}. {proxy}'s "
        f"reading of a question tells with an AUROC of {reading.min():.2f} to {reading.max():.2f} whether "
        "other models will be right, but which questions only the large one gets right with "
        f"{estimate(*own, '.2f')}.\n\n{_worth(found)}"
    )


def _worth(found: Mapping[str, pd.DataFrame]) -> str:
    """By dollars with every pass charged: the first by AIQ, and what the promise that keeps most costs."""
    ways = found["dollars"].drop(index=["oracle", "random"])
    above = ways["AIQ above random, interval"]
    best, closes = ways["AIQ, every pass"].idxmax(), ways["gap closed"].idxmax()
    promised = found["promise"].sort_values("kept").iloc[-1]
    points, who = promised["points that may be lost"], promised["confidence"]
    tuned = found["tuned"].set_index(["points that may be lost", "method"])["saved, every pass"]
    first, most = ways.loc[best], ways.loc[closes]
    text = (
        f"By dollars, every pass charged, **{best}** comes first: {{term}}`AIQ` "
        f"{estimate(first['AIQ, every pass'], first['AIQ, every pass, interval'])}, "
        f"{100 * above[best][0]:.2f} to {100 * above[best][1]:.2f} points above "
        f"sending at random (95 %). Of all ways {shown(above)}. *{closes}* ranks best, "
        f"{most['gap closed']:.1%} of the way from random to the oracle, but deciding costs "
        f"{most['cost of deciding']:.0%} of the large model's price. A promise of at most "
        f"{points:g} points lost lets the small model keep {promised['kept']:.0%} of the questions at most "
        f"(*{who}*)"
    )
    if (points, who) in tuned.index:
        saved = tuned[points, who]
        moved = f"saves {saved:.1%}" if saved > 0 else f"costs {-saved:.1%} more than the large model alone"
        text += f"; with a threshold tuned for as many points and no promise, that way {moved}"
    return text + "."
