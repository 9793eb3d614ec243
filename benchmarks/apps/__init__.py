"""Applications with half the memory that they need."""
