"""The published numbers against each other: pure computations, nothing measured by us.

Each call returns a table whose rows hold the printed number, what the paper's other numbers give for it,
and whether the two agree at the printed digits. Printed digits bound what can be said: a number fits if
any value that prints like it fits.
"""

from cclib.paper.audit.accuracies import (
    drop_definitions,
    integer_counts,
    probe_f1,
    sizes_that_fit,
    table5_against_table15,
    table10_against_table11,
    table11_rates,
)
from cclib.paper.audit.costs import (
    context_condition,
    dollars_by_accounting,
    equation6,
    every_pass,
    implied_cost_ratios,
    kept_on_gpqa,
    kept_shares,
    more_kept_without_pik,
    reductions_from_totals,
    tokens_against_counts,
)
from cclib.paper.audit.digits import prints_as, span
from cclib.paper.audit.significance import counts_that_give, discordant_counts, nearest_differences
from cclib.paper.audit.summary import summary

__all__ = [
    "context_condition",
    "counts_that_give",
    "discordant_counts",
    "dollars_by_accounting",
    "drop_definitions",
    "equation6",
    "every_pass",
    "implied_cost_ratios",
    "integer_counts",
    "kept_on_gpqa",
    "kept_shares",
    "more_kept_without_pik",
    "nearest_differences",
    "prints_as",
    "probe_f1",
    "reductions_from_totals",
    "sizes_that_fit",
    "span",
    "summary",
    "table10_against_table11",
    "table11_rates",
    "table5_against_table15",
    "tokens_against_counts",
]
