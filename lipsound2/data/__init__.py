"""Data dirs and Kaldi archives: no torch here."""
