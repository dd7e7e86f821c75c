"""A judge as an instrument: what its verdicts are worth on cases whose truth is known by construction."""
