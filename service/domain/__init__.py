"""What is true. Plain Python: this folder imports the standard library and itself, nothing else."""
