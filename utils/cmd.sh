# shellcheck shell=bash
# A site's own settings, in files that git does not see: egs/site.sh for all recipes, then cmd.local.sh beside a recipe for
# that one alone. They name a cluster, its sbatch options, and other defaults of any option (docs/cluster.md).
# shellcheck disable=SC2154  # root
for _site in "$root/egs/site.sh" cmd.local.sh; do
  # shellcheck source=/dev/null
  [ ! -f "$_site" ] || . "$_site"
done
