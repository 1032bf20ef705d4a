"""Corpora: where their files lie, their transcripts, and their splits."""

from lipsound2.corpora.preparation import prepare

__all__ = ["prepare"]
