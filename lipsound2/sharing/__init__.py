"""An experiment for a colleague: one archive with all that its number stands on, and the check of it."""
