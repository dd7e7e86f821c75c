"""Whether one text follows from another, by any cross-encoder of the hub that was trained for it.

In: a model source, pairs of a premise and a hypothesis. Out: how likely the premise entails or contradicts the
hypothesis. It knows neither claims nor passages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plait.errors import ModelNotFound
from plait.models.cross_encoder import CrossEncoderModel


@dataclass(frozen=True)
class Entailment:
    """Probabilities of a pair; `contradicts` is 0 of a model that only tells entailment from the rest."""

    entails: float
    contradicts: float


class EntailmentModel(CrossEncoderModel):
    """A loaded cross-encoder for natural language inference (Bowman et al. 2015, arXiv:1508.05326).

    Args:
        source: model source: hub id, folder or package:NAME.

    Raises:
        ModelNotFound: when there is no such model, or none of its labels is entailment.
    """

    def __init__(self, source: str) -> None:
        super().__init__(source)
        labels = {str(label).lower(): int(index) for index, label in self._model.config.id2label.items()}
        if "entailment" not in labels or len(labels) < 2:
            raise ModelNotFound(
                f"'{source}' tells no entailment: its labels are {', '.join(labels)}.",
                "Choose a cross-encoder that was trained for natural language inference.",
            )
        self._entailment, self._contradiction = labels["entailment"], labels.get("contradiction")

    def entailments(self, pairs: Sequence[tuple[str, str]], batch_size: int = 32) -> list[Entailment]:
        """Of (premise, hypothesis) pairs, in their order."""
        if not pairs:
            return []
        rows = self._model.predict(list(pairs), batch_size=batch_size, apply_softmax=True, show_progress_bar=False)
        contradicts = self._contradiction
        return [
            Entailment(float(row[self._entailment]), 0.0 if contradicts is None else float(row[contradicts]))
            for row in rows
        ]
