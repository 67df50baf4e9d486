"""Statistics of answers and confidences: pure functions on arrays.

Labels and right/wrong columns are (n,) bool (or 0 and 1), confidences (n,) floats. Intervals are (low, high).
What cannot be computed (no rows, labels of one kind only) is NaN.
"""

from cclib.stats.answers import NO_INTERVAL as NO_INTERVAL
from cclib.stats.answers import Drop as Drop
from cclib.stats.answers import Macro as Macro
from cclib.stats.answers import accuracy as accuracy
from cclib.stats.answers import accuracy_interval as accuracy_interval
from cclib.stats.answers import bootstrap as bootstrap
from cclib.stats.answers import macro as macro
from cclib.stats.answers import macro_intervals as macro_intervals
from cclib.stats.answers import performance_drop as performance_drop
from cclib.stats.answers import wilson as wilson
from cclib.stats.confidences import accuracy_coverage as accuracy_coverage
from cclib.stats.confidences import auprc as auprc
from cclib.stats.confidences import aurc as aurc
from cclib.stats.confidences import auroc as auroc
from cclib.stats.confidences import auroc_difference as auroc_difference
from cclib.stats.confidences import auroc_interval as auroc_interval
from cclib.stats.confidences import auroc_interval_from_counts as auroc_interval_from_counts
from cclib.stats.confidences import auroc_rows as auroc_rows
from cclib.stats.confidences import binary_scores as binary_scores
from cclib.stats.confidences import brier as brier
from cclib.stats.confidences import brier_interval as brier_interval
from cclib.stats.confidences import ece as ece
from cclib.stats.confidences import ece_interval as ece_interval
from cclib.stats.confidences import reliability as reliability
from cclib.stats.confidences import roc as roc
from cclib.stats.paired import EXACT_BELOW as EXACT_BELOW
from cclib.stats.paired import McNemar as McNemar
from cclib.stats.paired import detectable_loss as detectable_loss
from cclib.stats.paired import equivalence as equivalence
from cclib.stats.paired import holm as holm
from cclib.stats.paired import mcnemar as mcnemar
from cclib.stats.paired import mcnemar_from_counts as mcnemar_from_counts
from cclib.stats.paired import mcnemar_power as mcnemar_power
from cclib.stats.paired import paired_difference_interval as paired_difference_interval
from cclib.stats.paired import paired_interval_from_counts as paired_interval_from_counts
