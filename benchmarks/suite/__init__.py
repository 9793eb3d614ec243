"""The suite: rows with bars, measured by workers that take turns, kept as a history, and compared between revisions."""
