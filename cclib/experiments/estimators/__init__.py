"""Confidence estimators of Appendix A: one score a question each, compared on the same answers."""

from cclib.experiments.estimators.compare import estimate_all as estimate_all
from cclib.experiments.estimators.estimate import Estimate as Estimate
from cclib.experiments.estimators.estimate import ranking as ranking
from cclib.experiments.estimators.open_answers import estimate_open as estimate_open
from cclib.experiments.estimators.option_letters import own_answers as own_answers
