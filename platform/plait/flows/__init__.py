"""Use cases that touch jobs and serving, or an index and a served model: what commands call."""
