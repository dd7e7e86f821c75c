"""Base models and embedding models: where they come from, how they load, how they chat."""
