"""The published numbers against each other: pure computations, nothing measured by us.

Each call returns a table whose rows hold the printed number, what the paper's other numbers give for it,
and whether the two agree at the printed digits. Printed digits bound what can be said: a number fits if
any value that prints like it fits.
"""

from cclib.paper.audit.accuracies import drop_definitions as drop_definitions
from cclib.paper.audit.accuracies import integer_counts as integer_counts
from cclib.paper.audit.accuracies import probe_f1 as probe_f1
from cclib.paper.audit.accuracies import sizes_that_fit as sizes_that_fit
from cclib.paper.audit.accuracies import table5_against_table15 as table5_against_table15
from cclib.paper.audit.accuracies import table10_against_table11 as table10_against_table11
from cclib.paper.audit.accuracies import table11_rates as table11_rates
from cclib.paper.audit.coin import coin as coin
from cclib.paper.audit.costs import context_condition as context_condition
from cclib.paper.audit.costs import dollars_by_accounting as dollars_by_accounting
from cclib.paper.audit.costs import equation6 as equation6
from cclib.paper.audit.costs import every_pass as every_pass
from cclib.paper.audit.costs import implied_cost_ratios as implied_cost_ratios
from cclib.paper.audit.costs import kept_on_gpqa as kept_on_gpqa
from cclib.paper.audit.costs import kept_shares as kept_shares
from cclib.paper.audit.costs import more_kept_without_pik as more_kept_without_pik
from cclib.paper.audit.costs import reductions_from_totals as reductions_from_totals
from cclib.paper.audit.costs import tokens_against_counts as tokens_against_counts
from cclib.paper.audit.digits import prints_as as prints_as
from cclib.paper.audit.digits import span as span
from cclib.paper.audit.significance import counts_that_give as counts_that_give
from cclib.paper.audit.significance import discordant_counts as discordant_counts
from cclib.paper.audit.significance import nearest_differences as nearest_differences
from cclib.paper.audit.significance import paired_differences as paired_differences
from cclib.paper.audit.significance import shared_results as shared_results
from cclib.paper.audit.summary import summary as summary
from cclib.paper.audit.times_and_prices import speed_ratios as speed_ratios
from cclib.paper.audit.times_and_prices import tokens_on_mmlu as tokens_on_mmlu
from cclib.paper.audit.times_and_prices import tokens_on_popqa as tokens_on_popqa
