"""The one error an operator's mistake becomes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConfigError(Exception):
    """A mistake in a configuration file, told in one line.

    The command line prints it and exits with status 78 (`EX_CONFIG` of sysexits.h).
    """

    file: str
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        """Return `FILE: KEY: found …, expected …`."""
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: found {self.found}, expected {self.expected}"
