"""Who wrote the questions of an eval set, where that is known."""

import json
from pathlib import Path

from plait.jobs.questions.files import MADE_BY, REPORT

TEMPLATES = "templates"


def questions_by(data: str) -> str | None:
    """`templates`, or the model that wrote them, of a file that `plait data make-questions` made; None of any other."""
    try:
        report = json.loads((Path(data).parent / REPORT).read_bytes())
        if report["made_by"] != MADE_BY:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(report.get("writer") or TEMPLATES)
