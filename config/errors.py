"""The one error an operator's mistake becomes."""

from dataclasses import dataclass

from config.where import show_key


# Not frozen and without slots: raising writes `__traceback__` and `__notes__` on the value.
# Compared by identity, as exceptions are.
@dataclass(eq=False)
class ConfigError(Exception):
    """A mistake in a configuration file, told in one line.

    The command line prints it and exits with status 78 (`EX_CONFIG` of sysexits.h).
    """

    file: str
    key: str
    found: str
    expected: str
    # Where the key stands, in words; empty: only the key tells.
    where: str = ""

    def __str__(self) -> str:
        """Return `FILE: KEY: found …, expected …`."""
        place = self.where or show_key(self.key)
        where = f"{self.file}: {place}" if place else self.file
        return f"{where}: found {self.found}, expected {self.expected}"


class Mismatch(ValueError):
    """One value is not what its key takes; the text says what was expected."""
