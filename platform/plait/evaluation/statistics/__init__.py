"""How sure figures and comparisons are. It knows numbers and their groups, neither samples nor metrics."""
