"""Clips into shards of archives, over worker processes or Slurm: resumable, with a reason for every rejected clip."""
