"""Weights that others published, as packs of this toolkit."""
