"""Recognizers of speech and lips, language model, word classifier."""
