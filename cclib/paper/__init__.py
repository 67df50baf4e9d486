"""The paper: what it prints (`table`, `model` and the facts of its setup), and what stands beside it."""

from cclib.paper.published import ARROW as ARROW
from cclib.paper.published import FOLDER as FOLDER
from cclib.paper.published import HARDWARE as HARDWARE
from cclib.paper.published import MODELS as MODELS
from cclib.paper.published import OOD_KEPT as OOD_KEPT
from cclib.paper.published import OOD_KEPT_RIGHT as OOD_KEPT_RIGHT
from cclib.paper.published import PIK_LAYER as PIK_LAYER
from cclib.paper.published import PIK_THRESHOLD as PIK_THRESHOLD
from cclib.paper.published import POPQA_QUESTIONS as POPQA_QUESTIONS
from cclib.paper.published import POPQA_ROWS as POPQA_ROWS
from cclib.paper.published import PT_THRESHOLD as PT_THRESHOLD
from cclib.paper.published import SEEDS as SEEDS
from cclib.paper.published import SPLIT as SPLIT
from cclib.paper.published import TEST_QUESTIONS as TEST_QUESTIONS
from cclib.paper.published import Model as Model
from cclib.paper.published import decimals as decimals
from cclib.paper.published import model as model
from cclib.paper.published import printed as printed
from cclib.paper.published import stages as stages
from cclib.paper.published import table as table
from cclib.paper.published import titles as titles
