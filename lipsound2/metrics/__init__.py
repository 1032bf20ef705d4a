"""Metrics of speech and text: scores, confidence intervals, controls, and the verdict whether lips are read."""
