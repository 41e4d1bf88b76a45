#!/usr/bin/env bash
#SBATCH --job-name=emilia
#SBATCH --array=1-100
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=48G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:INT@120
# A shard for each task of the array; then the whole, once, in a job that waits for all of them:
#
#   array=$(sbatch --parsable scripts/slurm_emilia.sh RECORDINGS DATASET)
#   sbatch --dependency=afterany:$array --array=0 scripts/slurm_emilia.sh RECORDINGS DATASET
#
# Where a task fails or its node is lost, the same two commands go on; what is done is not done again.
# run-app sets the profile's variables on the node itself, before the interpreter starts: nothing has to be exported.
# SHARDS is for a shell loop instead of Slurm; RUN_APP another way to start run-app, OPTIONS more of its words.
set -euo pipefail
input=$1 output=$2
task=${SLURM_ARRAY_TASK_ID:-0}
shards=${SHARDS:-100} # as many as --array has
words=(emilia "$input" "$output" --workers 1)
if [ "$task" -gt 0 ]; then
    words+=(--shard "$task/$shards")
fi
# No quotes: words, as a shell splits them.
# shellcheck disable=SC2086
exec ${RUN_APP:-run-app --profile auto} "${words[@]}" ${OPTIONS:-}
