"""The failure detector (SWIM): pure machines, and their UDP service."""
