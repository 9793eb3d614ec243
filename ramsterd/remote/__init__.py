"""Page traffic between nodes, as decisions.  Pure."""
