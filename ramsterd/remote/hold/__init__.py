"""Pages that this node holds for others."""
