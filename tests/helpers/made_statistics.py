"""A made-up snapshot of a daemon: with numbers that occur once, so that it is known wherever they come out, or with any."""

import enum
import itertools
import random
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from config import limits
from nodemanager.ids import NodeId
from ramsterd.frontends.clients.counters import ClientStatistics
from ramsterd.frontends.nbd.counters import Counters as NbdCounters
from ramsterd.frontends.tmem.counters import Counters as TmemCounters, TmemStatistics
from ramsterd.host.latency import LATENCY_BUCKETS, LatencyStatistics
from ramsterd.observe.loop_watch import BUCKETS
from ramsterd.observe.snapshot import DaemonStatistics

NODE: Final = NodeId(2)
# What the metrics port answers (`ramsterd.observe.scrape`).
HTTP_ANSWERS: Final = (
    HTTPStatus.OK,
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
NAME: Final = "beta"
T = TypeVar("T")


class Figures(Protocol):
    """What stands in the fields."""

    def number(self) -> int: ...
    def flag(self) -> bool: ...
    def text(self) -> str: ...
    def one_of(self, values: list[T]) -> T: ...
    def length(self) -> int: ...


class Unique:
    """Each number once, and one of everything that there is a list of."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1_000_001)

    def number(self) -> int:
        return next(self._numbers)

    def flag(self) -> bool:
        return True

    def text(self) -> str:
        return "text"

    def one_of(self, values: list[T]) -> T:
        return values[0]

    def length(self) -> int:
        return 1


class Random:
    """Any figures; small ones and none at all more often."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def number(self) -> int:
        return self._rng.choice(
            [0, 0, 1, 2, self._rng.randrange(1000), self._rng.randrange(1 << 40)]
        )

    def flag(self) -> bool:
        return self._rng.random() < 0.5

    def text(self) -> str:
        return self._rng.choice(["", "text", "a text of several words"])

    def one_of(self, values: list[T]) -> T:
        return self._rng.choice(values)

    def length(self) -> int:
        return self._rng.choice([0, 1, 3])


def made_statistics() -> DaemonStatistics:
    """Return it: one other node, one export, one of everything that there is a list of."""
    made = _made(DaemonStatistics, Unique())
    assert isinstance(made, DaemonStatistics)
    [row] = made.engine.nodes.nodes
    row = replace(row, config=replace(row.config, number=int(NODE), name=NAME), is_local=False)
    # Living, of the only node.
    remote = tuple(replace(each, is_dead=False) for each in made.engine.remote)
    engine = replace(made.engine, nodes=replace(made.engine.nodes, nodes=(row,)), remote=remote)
    stall = replace(made.loop_stall, counts=tuple(range(100, 101 + len(BUCKETS))))
    return replace(made, engine=engine, loop_stall=stall)


def wide_statistics(*, nodes: int, exports: int) -> DaemonStatistics:
    """Return one with something to say of each of so many other nodes, and with so many exports."""
    made = made_statistics()
    [row], [export] = made.engine.nodes.nodes, made.exports
    numbers = [NodeId(number) for number in range(2, nodes + 2)]
    rows = tuple(
        replace(row, config=replace(row.config, number=int(number), name=f"node{number}"))
        for number in numbers
    )
    made = _for_each_node(made, numbers)
    assert isinstance(made, DaemonStatistics)
    return replace(
        made,
        engine=replace(made.engine, nodes=replace(made.engine.nodes, nodes=rows)),
        exports=tuple(replace(export, name=f"export{number}") for number in range(exports)),
        # With every command, error and end that these front ends know, and every answer of HTTP.
        nbd=NbdCounters().snapshot(ClientStatistics, connections_refused=0),
        tmem=TmemCounters().snapshot(
            TmemStatistics, connections_refused=0, pools=(), users=(), doomed_pools=0
        ),
        metrics=None
        if made.metrics is None
        else replace(made.metrics, answers_total={str(each.value): 1 for each in HTTP_ANSWERS}),
    )


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of the fields of a snapshot: finding them out takes most of what making one does."""
    return get_type_hints(kind)


def _for_each_node(value: Any, numbers: list[NodeId]) -> Any:
    """Return a snapshot in which all that is said of a node is said of each of these."""
    kinds = hints_of(value.__class__)
    changes: dict[str, object] = {}
    for each in fields(value):
        inside, arguments = getattr(value, each.name), get_args(kinds[each.name])
        if isinstance(inside, Mapping) and arguments[0] is NodeId:
            changes[each.name] = dict.fromkeys(numbers, inside[NODE])
        elif isinstance(inside, tuple) and hasattr(inside[0], "node"):
            changes[each.name] = tuple(replace(inside[0], node=number) for number in numbers)
        elif is_dataclass(inside):
            changes[each.name] = _for_each_node(inside, numbers)
    return replace(value, **changes)


def random_statistics(rng: random.Random) -> DaemonStatistics:
    """Return one in which any figure can be any that its type allows; names are names."""
    made = _made(DaemonStatistics, Random(rng))
    assert isinstance(made, DaemonStatistics)
    nodes = tuple(
        replace(
            row,
            config=replace(
                row.config,
                number=number,
                name=f"n{number}",
                drain_began_at=rng.randrange(limits.TIMESTAMP_MAX + 1),
            ),
        )
        for number, row in enumerate(made.engine.nodes.nodes, start=1)
    )
    exports = tuple(
        replace(each, name=f"export{number}") for number, each in enumerate(made.exports)
    )
    lost = tuple(replace(each, name="lost") for each in made.state_file.lost)
    counts = tuple(rng.randrange(5) for _ in range(len(BUCKETS) + 1))
    return replace(
        made,
        engine=replace(made.engine, nodes=replace(made.engine.nodes, nodes=nodes)),
        exports=exports,
        state_file=replace(made.state_file, lost=lost),
        loop_stall=replace(made.loop_stall, counts=counts),
        membership=replace(
            made.membership, differs_from=tuple("n1" for _ in made.membership.differs_from)
        ),
        certificate_expiry_seconds=rng.choice([None, -1.0, 0.0, 1e5, 1e9]),
    )


def _made(kind: Any, figures: Figures) -> object:
    if kind is NodeId:
        return NODE
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, Union}:
        return _made(figures.one_of(list(arguments)), figures)
    if origin in {dict, Mapping}:
        return {key: _made(arguments[1], figures) for key in _keys(arguments[0])}
    if origin is tuple:
        return tuple(_made(arguments[0], figures) for _ in range(figures.length()))
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _made_fields(kind, figures)
    return _made_plain(kind, figures)


def _made_fields(kind: type, figures: Figures) -> object:
    if kind is LatencyStatistics:
        counts = tuple(figures.number() for _ in range(len(LATENCY_BUCKETS) + 1))
        return LatencyStatistics(counts=counts, seconds_total=figures.number())
    kinds = hints_of(kind)
    return kind(**{name: _made(each, figures) for name, each in kinds.items()})


def _made_plain(kind: Any, figures: Figures) -> object:
    if kind is types.NoneType:
        return None
    if kind is bool:
        return figures.flag()
    if kind is str:
        return figures.text()
    if kind is Path:
        return Path("path")
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return figures.one_of(list(kind))
    assert kind in {int, float} or kind.__supertype__ is int, kind
    return figures.number()


def _keys(kind: Any) -> list[Any]:
    if kind is NodeId:
        return [NODE]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return list(kind)
    assert kind is str, kind
    return ["READ"]
