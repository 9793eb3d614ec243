"""Kills under clients that check every answer: `python -m tests.soak.kills`."""

from pathlib import Path


def libnbd_program_path() -> Path:
    """Return the program that the system's interpreter runs."""
    return Path(__file__).parent / "libnbd_program.py"
