#!/bin/bash
# A gridded run under Slurm, through as many jobs as it takes. Submit in the folder of the configuration:
#
#   sbatch slurm.sh globe.yaml
#
# Before the time limit the ranks are asked to stop; they write a checkpoint and end with code 75, and the job is queued
# again. It goes on to the same bits, on any number of ranks. What to adapt is marked with <<<.

#SBATCH --job-name=concerto
#SBATCH --ntasks=128                 # <<< ranks; start with one per core
#SBATCH --cpus-per-task=1            # threads of a rank (below: parallel.threads)
#SBATCH --mem-per-cpu=2500M          # <<< concerto check tells the memory of a rank
#SBATCH --time=12:00:00              # <<<
#SBATCH --signal=USR1@600            # 10 minutes before that limit, to all ranks (srun), not to this script
#SBATCH --requeue
#SBATCH --open-mode=append           # one log through all jobs
#SBATCH --output=%x-%j.log

set -u
config=${1:-globe.yaml}
report=${config%.yaml}.html

# <<< the MPI that mpi4py was built with, and the environment of concerto (docs/cluster.md)
# module load gcc openmpi
# source ~/concerto/.venv/bin/activate

export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
export OMP_PROC_BIND=close OMP_PLACES=cores
export HDF5_USE_FILE_LOCKING=FALSE   # parallel file systems often have no locks

# Cells are handed out in bundles: some 10 to 20 for each rank keep the load even (docs/cluster.md).
srun --kill-on-bad-exit=1 concerto run "$config" --report "$report" \
    --set parallel.threads="$SLURM_CPUS_PER_TASK" --set parallel.bundle=8
code=$?

if [ $code -eq 75 ]; then
    echo "stopped with a checkpoint; queued again"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
