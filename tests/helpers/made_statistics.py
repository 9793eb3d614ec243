"""A made-up snapshot of a daemon in which every number occurs once, so that it is known wherever it comes out."""

import enum
import itertools
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from nodemanager.ids import NodeId
from ramsterd.observe.loop_watch import BUCKETS
from ramsterd.observe.snapshot import DaemonStatistics

NODE: Final = NodeId(2)
NAME: Final = "beta"


def made_statistics() -> DaemonStatistics:
    """Return it: one other node, one export, one of everything that there is a list of."""
    made = _made(DaemonStatistics, itertools.count(1_000_001))
    assert isinstance(made, DaemonStatistics)
    [row] = made.engine.nodes.nodes
    row = replace(row, config=replace(row.config, number=int(NODE), name=NAME), is_local=False)
    # Living, of the only node.
    remote = tuple(replace(each, is_dead=False) for each in made.engine.remote)
    engine = replace(made.engine, nodes=replace(made.engine.nodes, nodes=(row,)), remote=remote)
    stall = replace(made.loop_stall, counts=tuple(range(100, 101 + len(BUCKETS))))
    return replace(made, engine=engine, loop_stall=stall)


def _made(kind: Any, numbers: Iterator[int]) -> object:
    if kind is NodeId:
        return NODE
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, Union}:
        return _made(arguments[0], numbers)
    if origin in {dict, Mapping}:
        return {key: _made(arguments[1], numbers) for key in _keys(arguments[0])}
    if origin is tuple:
        return (_made(arguments[0], numbers),)
    if is_dataclass(kind):
        assert isinstance(kind, type)
        kinds = get_type_hints(kind)
        return kind(**{each.name: _made(kinds[each.name], numbers) for each in fields(kind)})
    return _made_plain(kind, numbers)


def _made_plain(kind: Any, numbers: Iterator[int]) -> object:
    if kind is bool:
        return True
    if kind is str:
        return "text"
    if kind is Path:
        return Path("path")
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    assert kind in {int, float} or kind.__supertype__ is int, kind
    return next(numbers)


def _keys(kind: Any) -> list[Any]:
    if kind is NodeId:
        return [NODE]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return list(kind)
    assert kind is str, kind
    return ["READ"]
