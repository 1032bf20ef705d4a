"""Acoustic targets of a lip model, and outputs of a trained network for every clip."""
