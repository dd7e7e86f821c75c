"""What a recipe may say of an objective: which one, and its settings.

An objective brings its section with it and registers both (plait.jobs.train.objectives); this module knows none.
"""

from typing import ClassVar

from plait.section import Section
from plait.variants import Variants


class ObjectiveConfig(Section):
    """The section of an objective. Each subclass has a `kind` of its own, a Literal.

    Attributes:
        has_reference: the model without its adapter is a part of the loss, so there must be an adapter, and every batch
            goes through the model once more.
        is_per_token: the loss needs the log-probability of each label, not only their sum.
    """

    has_reference: ClassVar[bool] = False
    is_per_token: ClassVar[bool] = False

    kind: str


OBJECTIVES: Variants[ObjectiveConfig] = Variants("kind", default="sft", registered_in="plait.jobs.train.objectives")
