"""Front ends: what clients speak with, and the pager under them."""
