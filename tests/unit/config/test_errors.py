import contextlib
from collections.abc import Iterator

import pytest

from config.errors import ConfigError


def test_an_error_is_one_line_with_file_key_found_and_expected() -> None:
    assert str(ConfigError("a.toml", "memory.budget", "1", "more")) == (
        "a.toml: memory.budget: found 1, expected more"
    )
    assert str(ConfigError("a.toml", "", "no such file", "a file")) == (
        "a.toml: found no such file, expected a file"
    )


def test_an_error_can_pass_through_a_context_manager_and_carry_notes() -> None:
    """Python writes the traceback on the exception there: a frozen one would break."""

    @contextlib.contextmanager
    def managed() -> Iterator[None]:
        yield

    error = ConfigError("a.toml", "k", "f", "e")
    error.add_note("note")
    with pytest.raises(ConfigError) as caught, managed():
        raise error
    assert caught.value is error
