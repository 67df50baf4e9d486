"""Confidence estimators of Appendix A: one score a question each, compared on the same answers."""

from cclib.estimators.every import estimate_all as estimate_all
from cclib.estimators.every import record as record
from cclib.estimators.every import with_asked as with_asked
from cclib.estimators.open_answers import estimate_open as estimate_open
from cclib.estimators.scores import Estimate as Estimate
from cclib.estimators.scores import ranking as ranking
