"""`python -m plait.jobs.submission.probe PATHS…`: looks at a cluster from inside, in the job's own environment.

Prints one line of JSON: Plait's version there, the most that an autoscaler would add up to (null: none says so), and
which of the paths do not exist.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MARK = "plait-probe "


def look(paths: Sequence[str]) -> dict[str, Any]:
    """What the machine sees that drivers run on."""
    import ray
    from ray._private.state import state  # where Ray Data asks for it too; there is no public way

    from plait import __version__

    ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    return {
        "version": __version__,
        "most": state.get_max_resources_from_cluster_config(),
        "missing": [path for path in paths if not Path(path).exists()],
    }


if __name__ == "__main__":
    print(MARK + json.dumps(look(sys.argv[1:])), flush=True)
