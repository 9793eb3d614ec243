import enum
import json
from dataclasses import dataclass

from nodemanager.ids import NodeId
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


@dataclass(frozen=True, slots=True)
class WithNodes:
    node: NodeId
    origin: NodeId | None
    pages: dict[NodeId, int]
    count: int


def test_nodes_have_their_names_and_those_that_left_a_number() -> None:
    plain = to_plain(
        WithNodes(NodeId(1), NodeId(2), {NodeId(1): 5, NodeId(7): 6}, 1), {NodeId(1): "a"}
    )
    assert plain == {
        "node": "a",
        "origin": "number 2",
        "pages": {"a": 5, "number 7": 6},
        "count": 1,
    }
    assert to_plain(WithNodes(NodeId(1), None, {}, 1), {NodeId(1): "a"}) == {
        "node": "a", "origin": None, "pages": {}, "count": 1,
    }  # fmt: skip
