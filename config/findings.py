"""What a judgement finds that is no mistake of one file alone: a warning, or an error."""

from dataclasses import dataclass

from config.errors import ConfigError
from config.where import show_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line for the operator."""

    file: str
    key: str
    found: str
    expected: str
    # The daemon can't start so, or would come to a bad end.
    is_error: bool = False

    def __str__(self) -> str:
        """Return `KEY: found …, expected …`, without the file."""
        where = f"{show_key(self.key)}: " if self.key else ""
        return f"{where}found {self.found}, expected {self.expected}"

    def error(self) -> ConfigError:
        """Return it as the error that ends the daemon."""
        return ConfigError(self.file, self.key, self.found, self.expected)
