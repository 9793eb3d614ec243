"""Fetch: pages come back because a client asked for them."""
