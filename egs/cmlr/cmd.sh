# shellcheck shell=bash
# Where the jobs of stages 1 and 2 run.
# shellcheck disable=SC2034  # read by run.sh
launcher=local
