"""A passage as quoted data in a prompt: numbered, between tags, with nothing inside that looks like the frame.

What is enforced here does not depend on the model: a document can neither close its quotation nor open another, nor
begin a line as a turn of the conversation does. (Control tokens are broken up by the chat format.) That a model does
not follow what a document says is no property of the text; `benchmarks/hostile_documents.py` measures it.
"""

import re

from plait.documents.table_columns import header_of
from plait.index.passage import Passage

_TAG = re.compile(r"<(?=\s*/?\s*passage)", re.IGNORECASE)
_ROLE = re.compile(
    r"^(?:[^\w\n]|_)*(?:question|answer|system|user|assistant|human|ai|tool|instructions?)[\W_]*:",
    re.IGNORECASE | re.MULTILINE,
)


def quote(passage: Passage, number: int) -> str:
    """`<passage id="1" source="ray.md"> … </passage>`; rows of a table have their columns above them."""
    text = _ROLE.sub(
        lambda turn: turn[0].replace(":", " -"), _TAG.sub("< ", header_of(passage.heading) + passage.text.strip())
    )
    source = " ".join(passage.source.split()).replace('"', "'").replace("<", "(").replace(">", ")")
    return f'<passage id="{number}" source="{source}">\n{text}\n</passage>'
