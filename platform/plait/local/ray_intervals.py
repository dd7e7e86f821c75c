"""How often the processes of the local Ray head look whether there is something to do: less often than Ray's defaults.

Those are made for clusters where many nodes come and go. On one machine that waits for questions they are most of what
it computes. What is left has no variable: each worker's main thread looks for signals a hundred times a second, 5 ms of
CPU, and the dashboard asks its processes once a second. A variable that the user has set stays as it is.
"""

import os
from collections.abc import Mapping

_INTERVALS: Mapping[str, str] = {
    # Serve's controller compares what runs with what shall run: 0.1 s, 3 ms of CPU each. A replica's death is seen by
    # the check of every second (`serve.app`), and up to so much later it is started anew.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    # Replicas and proxy hand their counters to Ray's metrics: 100 ms. Prometheus asks every 15 s.
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    # Each event loop is asked how late it is: 100 to 250 ms. It is a metric of Ray's only.
    "RAY_io_context_monitor_probe_interval_ms": "5000",
    "RAY_io_context_event_loop_lag_collection_interval_ms": "10000",
    # The raylet tells the control store what is free: 100 ms. Tasks are placed by the raylet itself.
    "RAY_raylet_report_resources_period_milliseconds": "1000",
    # The control store asks for what waits, for an autoscaler that does not run here: 1 s.
    "RAY_gcs_pull_resource_loads_period_milliseconds": "10000",
    "RAY_report_worker_backlog_interval_ms": "10000",
    # What tasks did, for the dashboard and `ray list tasks`: 1 s.
    "RAY_task_events_report_interval_ms": "5000",
    # Idle workers are ended a minute or more after their last task; whether one is due is looked at every 200 ms.
    "RAY_kill_idle_workers_interval_ms": "1000",
    # The machine's own numbers, read with psutil: 5 s each.
    "REPORTER_UPDATE_INTERVAL_MS": "15000",
    "METRICS_RECORD_INTERVAL_S": "15",
    # Event files, which Ray writes for exports that are off: 2 s and 0.1 s.
    "SCAN_EVENT_DIR_INTERVAL_SECONDS": "30",
    "EVENT_AGENT_REPORT_INTERVAL_SECONDS": "5",
    # The agent ends when its raylet has: 0.4 s.
    "RAY_DASHBOARD_AGENT_CHECK_PARENT_INTERVAL_S": "2",
    # New log files are looked for in the whole folder, ten times a second below so many of them. Lines in known files
    # are still seen at once.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "2",
    # One worker a CPU would be started with the first command, before it is known what for: replicas have environments
    # of their own and never get one.
    "RAY_prestart_worker_first_driver": "0",
}


def intervals() -> dict[str, str]:
    """Variables for the processes of the head."""
    return {name: os.environ.get(name, value) for name, value in _INTERVALS.items()}
