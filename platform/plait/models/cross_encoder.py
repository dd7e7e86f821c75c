"""A model that reads two texts together, by sentence-transformers. What it says of them, those built on it know."""

from collections.abc import Sequence

from plait.errors import ModelNotFound, first_line
from plait.models.source import resolve_model


class CrossEncoderModel:
    """A loaded cross-encoder.

    Args:
        source: model source: hub id, folder or package:NAME.

    Raises:
        ModelNotFound: when there is no such model.
    """

    def __init__(self, source: str) -> None:
        from safetensors import SafetensorError
        from sentence_transformers import CrossEncoder

        self.name = source
        try:
            self._model = CrossEncoder(
                str(resolve_model(source)), local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelNotFound(f"'{source}' holds no cross-encoder ({first_line(error)}).") from error

    @property
    def max_tokens(self) -> int:
        """What the model reads of two texts together; the longer one is cut."""
        return int(self._model.max_seq_length)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included, also of one that is longer than the model reads."""
        return [len(ids) for ids in self._model.tokenizer(list(texts), truncation=False)["input_ids"]]
