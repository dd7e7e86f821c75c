"""Ray Data, set the way Plait uses it: errors that keep their cause, rows that keep their order, a quiet console."""

import logging
import os


def set_up_ray_data() -> None:
    """Set what holds for every pipeline of this process."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.raise_original_map_exception = True  # otherwise the error that comes here no longer knows its cause
    context.enable_progress_bars = False  # we show our own
    # Its usage report would ask a Prometheus that it supposes on localhost:9090, every 10 seconds.
    os.environ.setdefault("RAY_DATA_USAGE_DISABLED", "1")
    # Its log file keeps everything, and --debug shows it.
    if "PLAIT_DEBUG" not in os.environ:
        for handler in logging.getLogger("ray.data").handlers:
            if handler.name == "console":
                handler.setLevel(logging.CRITICAL)
