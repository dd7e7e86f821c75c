"""How passages are retrieved unless something else is said: for the answers of a server and for training examples."""

from typing import Literal

Rerank = Literal["none", "cross-encoder", "late-interaction"]

TOP_K, MAX_TOP_K = 3, 50
"""Passages a question."""
BUDGET_TOKENS = 400
"""Tokens that the passages of a prompt may take."""
