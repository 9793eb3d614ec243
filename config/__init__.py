"""What an operator writes: dataclasses, limits, loading, saving, samples.  Imports nothing of ours."""
