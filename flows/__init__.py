"""When and in what order. Prefect lives here and nowhere else."""
