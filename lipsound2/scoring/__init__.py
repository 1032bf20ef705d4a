"""Scores of speech: metrics, intervals, controls, verdict, tables and the report."""
