"""Holders: which peers hold pages of ours, what we owe them, and what we believe them."""
