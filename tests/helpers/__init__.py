"""What several test files share: generated clips and corpora, small experiments, a toy task, a Slurm of one machine."""
