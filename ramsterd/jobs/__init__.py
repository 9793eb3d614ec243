"""Long work as jobs: drain, rebuild, recall and verify, from what their machines say of themselves.  Pure."""
