import enum
import json
from dataclasses import dataclass

from ramsterd.observe.snapshot import to_plain


class Colour(enum.Enum):
    DARK_RED = 1


@dataclass(frozen=True, slots=True)
class Inner:
    colour: Colour


@dataclass(frozen=True, slots=True)
class Outer:
    parts: tuple[Inner, ...]
    counts: dict[Colour, int]
    nothing: None = None


def test_everything_becomes_what_json_can_hold() -> None:
    plain = to_plain(Outer((Inner(Colour.DARK_RED),), {Colour.DARK_RED: 3}))
    assert plain == {"parts": [{"colour": "dark_red"}], "counts": {"dark_red": 3}, "nothing": None}
    assert json.loads(json.dumps(plain)) == plain
