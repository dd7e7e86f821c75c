"""Promotion: a candidate through its gate, and then into a rollout, which serving carries on."""
