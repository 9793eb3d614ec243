"""What the benchmarks of swapping guests share: swap settings, the guest, finished cells, tables and plots."""
