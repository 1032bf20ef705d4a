"""Clips -> shards of archives: worker processes, resumable, with verdicts."""
