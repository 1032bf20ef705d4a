"""Text normalization by language, with versions, and tokenizers."""
