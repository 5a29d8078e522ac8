"""Where stacks are trained: here, in processes beside this one, on a Ray cluster, or under Slurm."""
