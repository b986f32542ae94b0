"""Where tasks are computed (this process, worker processes, Ray) and in which numerics."""
