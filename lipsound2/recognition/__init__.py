"""From what a recogniser believes to text: tokens and language model."""
