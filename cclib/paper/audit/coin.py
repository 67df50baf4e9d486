"""The paper's cascades against a coin: the same models, each asked by chance.

A coin needs no confidence. It sends a question to the large model with a fixed chance, so its accuracy lies
between the models', in proportion. What a cascade gains over it is what its choice of questions is worth.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cclib import paper
from cclib.cost import compute_from_counts
from cclib.experiments.routing.frontier import hull
from cclib.paper.audit.costs import answered_by_stage, flops_of, kept_shares


def coin() -> pd.DataFrame:
    """Gain of each chain of Tables 1 and 3 over two coins, in points of accuracy.

    The first coin has the cascade's own shares: of Table 8, and for Qwen, whose counts are not printed, those
    that Eq. 6 implies (pairs only). The second mixes two models of the family at the cascade's compute, every
    pass counted: of all pairs the one that is most accurate there, as `results.above_mixing` takes it.
    """
    rows = []
    shares = {(1, name): np.array(counts) / sum(counts) for name, _, counts in answered_by_stage()}
    for row in kept_shares().query("table == 3").to_dict("records"):
        shares[3, row["models"]] = np.array([row["kept, implied"], 1 - row["kept, implied"]])
    for n, family in ((1, "llama-3"), (3, "qwen3")):
        accuracy = paper.table(n).set_index("models")["accuracy_percent"]
        alone = accuracy[[name for name in accuracy.index if "→" not in name]]
        sizes = flops_of(list(alone.index), "nominal", family)
        for name in (name for table, name in shares if table == n):
            labels, share = paper.stages(name), shares[n, name]
            flops = flops_of(labels, "nominal", family)
            paid = 1 - compute_from_counts(share, flops, "every-pass").reduced
            same_shares = float(share @ accuracy[labels].to_numpy())
            same_cost = float(np.interp(paid, *hull(np.array(sizes) / flops[-1], alone.to_numpy())))
            rows.append(
                {
                    "table": n,
                    "models": name,
                    "accuracy_percent": accuracy[name],
                    "kept": 1 - share[-1],
                    "coin, same shares_percent": same_shares,
                    "gain over it (points)": accuracy[name] - same_shares,
                    "compute, every pass": paid,
                    "coin, same compute_percent": same_cost,
                    "gain over that (points)": accuracy[name] - same_cost,
                }
            )
    return pd.DataFrame(rows)
