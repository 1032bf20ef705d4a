# shellcheck shell=bash
# Where the work of stages 1 to 5 is done: local, this machine, or slurm, a cluster (docs/cluster.md).
# shellcheck disable=SC2034  # read by run.sh
launcher=local
# With slurm: options of sbatch for all steps, such as "--account=NAME --partition=cpu --time=4:00:00", then for each step
# alone, which win, such as "--cpus-per-task=4 --mem=8G" or "--partition=gpu". --nj of run.sh is the jobs of an array.
export LIPSOUND2_SBATCH=""
export LIPSOUND2_SBATCH_CROP=""                     # stage 1: a worker for every core of a job
export LIPSOUND2_SBATCH_SOUND=""                    # stage 2: likewise
export LIPSOUND2_SBATCH_MEL=""                      # stage 2: likewise
export LIPSOUND2_SBATCH_TRAIN="--nodes=1"           # stage 3: on so many nodes
export LIPSOUND2_SBATCH_GENERATE=""                 # stage 4: the model
export LIPSOUND2_SBATCH_VOCODE=""                   # stage 4: Griffin-Lim
export LIPSOUND2_SBATCH_HEAR=""                     # stage 5: recognizers that listen to speech
export LIPSOUND2_SBATCH_SCORE=""                    # stage 5: STOI, ESTOI, PESQ
