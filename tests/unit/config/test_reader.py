import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from config import kinds
from config.errors import ConfigError
from config.reader import SHOWN_MAX, read_toml, show


class Color(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    width: Annotated[int, kinds.Whole(1, 9)]
    lock: Annotated[bool, kinds.Flag()] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    color: Color = Color.RED
    parts: dict[str, Color] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    name: Annotated[str, kinds.Name()]
    seat: Seat = field(default_factory=Seat)
    wheel: Annotated[tuple[Wheel, ...], kinds.Rows(0, 4)] = ()
    max_speed: Annotated[int, kinds.Whole(1, 9)] = 5


def read(text: str | bytes) -> Car:
    data = text.encode() if isinstance(text, str) else text
    return read_toml(data, Car, file="car.toml", folder=Path("/x"))


def test_tables_arrays_enums_and_defaults_are_read() -> None:
    text = """
        name = "kit"
        [seat]
        color = "blue"
        [seat.parts]
        left = "red"
        [[wheel]]
        width = 3
        [[wheel]]
        width = 4
        lock = true
    """
    assert read(text) == Car(
        name="kit",
        seat=Seat(color=Color.BLUE, parts={"left": Color.RED}),
        wheel=(Wheel(width=3), Wheel(width=4, lock=True)),
        max_speed=5,
    )


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"),
    [
        ("", "name", "nothing", "a value: this key is required"),
        (
            'name = "a"\ncolour = 1',
            "colour",
            "an unknown key",
            "one of name, seat, wheel, max_speed",
        ),
        ('nam = "a"', "nam", "an unknown key", "name (the nearest known key)"),
        ('name = "a"\n"x y" = 1', "'x y'", "an unknown key", "one of name, seat, wheel, max_speed"),
        (
            'name = "a"\n[seat]\nmax_speed = 2',
            "seat.max_speed",
            "an unknown key",
            "max_speed at the top of the file, before the first [table]",
        ),
        ("name = 5", "name", "5", "a text in quotes"),
        ('name = "a"\nseat = 5', "seat", "5", "a table"),
        ('name = "a"\nseat = [5]', "seat", "an array", "a table"),
        ('name = "a"\n[wheel]\nwidth = 3', "wheel", "a table", "[[wheel]] tables"),
        ('name = "a"\nwheel = [5]', "wheel[0]", "5", "a table"),
        (
            'name = "a"\n[[wheel]]\nwidth = 1\n[[wheel]]\nwidth = 10',
            "wheel[1].width",
            "10",
            "1 to 9",
        ),
        ('name = "a"\n[[wheel]]', "wheel[0].width", "nothing", "a value: this key is required"),
        ('name = "a"\n' + "[[wheel]]\nwidth = 1\n" * 5, "wheel", "5 [[wheel]] tables", "0 to 4"),
        ('name = "a"\nseat.color = "pink"', "seat.color", "'pink'", "one of 'red', 'blue'"),
        ('name = "a"\nseat.color = [1]', "seat.color", "an array", "one of 'red', 'blue'"),
        ('name = "a"\nseat.parts = "red"', "seat.parts", "'red'", "a table"),
        ('name = "a"\nseat.parts.left = 1', "seat.parts.left", "1", "one of 'red', 'blue'"),
        (
            'name = "a"\nseat.parts."\\n" = "red"',
            "seat.parts.'\\n'",
            "a bad name",
            "a name of a-z, 0-9, '.' and '-'",
        ),
    ],
)
def test_a_mistake_is_told_by_key_found_and_expected(
    text: str, key: str, found: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    error = caught.value
    assert (error.file, error.key, error.found, error.expected) == (
        "car.toml",
        key,
        found,
        expected,
    )


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("name = 'a'\nx =", "line 2, the end", "bad TOML (Invalid value)"),
        ("\n\n= 3", "line 3, column 1", "bad TOML (Invalid statement)"),
        ("name = 'a'\nname = 'b'\n", "line 2, column 11", "bad TOML (Cannot overwrite a value)"),
        (b"a = 1\nb = '\xff'", "line 2", "bytes that are not UTF-8"),
        pytest.param("a = " + "9" * 5000, "", "a number or date out of range", id="long"),
        ("a = 2026-02-31", "line 1, column 5", "bad TOML (Invalid date or datetime)"),
        pytest.param("a = " + "[" * 9000, "", "arrays or tables nested too deep", id="deep"),
    ],
)
def test_bad_toml_is_told_with_its_line(text: str | bytes, key: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert (caught.value.key, caught.value.found) == (key, found)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (False, "false"),
        (7, "7"),
        pytest.param(1 << 20_000, "a very long number", id="2**20000"),
        (1.5, "1.5"),
        ("a\nb", "'a\\nb'"),
        ("x" * 1000, "'" + "x" * (SHOWN_MAX - 1) + "…"),
        ([1], "an array"),
        ({}, "a table"),
    ],
)
def test_a_found_value_is_shown_short_and_on_one_line(value: object, shown: str) -> None:
    assert show(value) == shown
