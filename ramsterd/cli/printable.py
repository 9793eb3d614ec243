"""What another node says, before it is printed: a terminal takes some characters for commands.  Pure."""

from typing import Any


def printable(value: Any) -> Any:
    """Return a value of JSON in which every text is one that a terminal only shows."""
    if isinstance(value, str):
        return value if value.isprintable() else "".join(map(_shown, value))
    if isinstance(value, list):
        return [printable(each) for each in value]
    if isinstance(value, dict):
        return {printable(key): printable(each) for key, each in value.items()}
    return value


def _shown(character: str) -> str:
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
