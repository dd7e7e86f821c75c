"""Jobs on any Ray cluster, through its dashboard: check, ship, queue, submit, follow, stop."""
