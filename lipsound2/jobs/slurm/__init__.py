"""Work on a cluster that Slurm manages: arrays of jobs for clips, one job over several nodes for a training.

Nodes share the file system, the working directory and the Python that runs here. Only `sbatch`, `squeue`, `scancel`
and `scontrol` are used: `sacct` needs an accounting data base, which sites may lack.
"""
