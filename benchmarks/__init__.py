"""What this costs, measured beside what others cost: `python -m benchmarks`, or any one module of it."""
