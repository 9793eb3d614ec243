"""What `ramsterctl top` prints where nobody presses keys."""

import os

import pytest
from rich.text import Text

from ramsterd.cli.top_live import PRINTED_HEIGHT, print_one
from ramsterd.cli.top_screen import View, screen
from tests.helpers.pictures import code, node, picture

SUMMARY = "at most 312 pages of this node can't be read; " * 6


class Source:
    """A node with a long line; keeps the width that was asked for."""

    keys = "q quit"
    refresh_seconds = 2.0
    width: int | None = 0

    def look(self) -> None:
        raise AssertionError("print_one asks nobody")

    def press(self, key: str) -> None:
        raise AssertionError(key)

    def lines(self, width: int | None, height: int, *, keys: str) -> list[Text]:
        assert (height, keys) == (PRINTED_HEIGHT, "")
        self.width = width
        health = picture()["health"] | {"codes": [code("PAGES_LOST", SUMMARY)]}
        now = picture(health=health, nodes=[node("n" * 63)])
        return screen(View(before=None, now=now, width=width, height=height, keys=keys))


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[int | None, list[str]]:
    source = Source()
    print_one(source)
    return source.width, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [None, "", "wide", "0"])
def test_in_a_pipe_nothing_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    width, lines = printed(capsys)
    assert width is None
    assert f"  PAGES_LOST: {SUMMARY}" in lines
    assert any(line.startswith(f"{'n' * 63} up ") for line in lines)
    assert not any("…" in line for line in lines)
    [bar] = [line for line in lines if line.startswith("memory")]
    assert len(bar) <= 80


def test_columns_say_how_wide_it_may_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    width, lines = printed(capsys)
    assert width == 100
    assert max(map(len, lines)) == 100
    assert any(line.endswith("…") for line in lines)


def test_a_terminal_is_as_wide_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(
        "ramsterd.cli.top_live.os.get_terminal_size", lambda _: os.terminal_size((120, 50))
    )
    monkeypatch.setattr("sys.stdout.fileno", lambda: 1)
    assert printed(capsys)[0] == 120
