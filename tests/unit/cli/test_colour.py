import io

import click
import pytest

from ramsterd.cli.colour import SEVERITIES, paint, paint_heads, wants_colour


class Stream(io.StringIO):
    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "environ", "wants"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colours_are_for_a_terminal_of_somebody_who_wants_them(
    is_terminal: bool, environ: dict[str, str], wants: bool
) -> None:
    assert wants_colour(Stream(is_terminal=is_terminal), environ) is wants


def test_a_word_without_a_colour_stays_as_it_is() -> None:
    assert paint("left", {"lost": "red"}) == "left"


def test_only_the_first_word_of_a_line_that_is_not_indented_is_painted() -> None:
    text = paint_heads("ERR    a\n    ERR  b\nit  ERR", SEVERITIES)
    assert text == f"{click.style('ERR', fg='red')}    a\n    ERR  b\nit  ERR"
