# shellcheck shell=bash
# Where the data dirs of a recipe lie. --data is the folder that stage 0 writes into: all, the data dir of every clip, and
# <protocol>/<set>. It may also hold sets of another making itself (combine, fold, subset): stage 0 then leaves it alone.
# Sets home (where stage 0 writes), all, and data, the folder of the sets.

# shellcheck disable=SC2034,SC2154  # options of the recipe, and what it reads
home=${data:-data}
if [ -d "$home/train" ]; then
  data=$home all=$home/all
  [ -d "$all" ] || all=$(dirname "$data")/all
  ! runs 0 || usage "--data $data holds sets already, and stage 0 would not write there: name another folder, or begin at stage 1"
else
  data=$home/$protocol${cut-} all=$home/all
fi
