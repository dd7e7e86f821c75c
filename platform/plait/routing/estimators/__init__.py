"""How likely each arm answers a question right: what policies learn, one way a file."""

from collections.abc import Mapping

from plait.routing.estimators.estimator import Estimator, Learner
from plait.routing.estimators.logistic import LogisticEstimator, LogisticLearner
from plait.routing.estimators.neighbours import NeighboursEstimator, NeighboursLearner

ESTIMATORS: Mapping[str, type[Estimator]] = {"neighbours": NeighboursEstimator, "logistic": LogisticEstimator}
"""By the name that a policy's file has for it."""

LEARNERS: tuple[Learner, ...] = (
    NeighboursLearner(count=5),
    NeighboursLearner(count=20),
    LogisticLearner(strength=1.0),
    LogisticLearner(strength=10.0),
)
"""What is tried. The more even ones come first: of equal ones the first is taken."""
