"""Rules of who is asked, as plain data; the candidates of every family; and the one that is proven."""

from cclib.policies.candidates import Candidates as Candidates
from cclib.policies.choose import PolicyChoice as PolicyChoice
from cclib.policies.choose import choose_policy as choose_policy
from cclib.policies.policy import ABSTAIN as ABSTAIN
from cclib.policies.policy import Policy as Policy
from cclib.policies.policy import Run as Run
from cclib.policies.readings import BY_TRAIN as BY_TRAIN
from cclib.policies.readings import Readings as Readings
from cclib.policies.scores import Score as Score
from cclib.policies.stage import Condition as Condition
from cclib.policies.stage import Stage as Stage
