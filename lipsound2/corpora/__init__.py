"""Where a corpus' files lie, what is said in them, and who trains on what."""

from lipsound2.corpora.preparation import prepare

__all__ = ["prepare"]
