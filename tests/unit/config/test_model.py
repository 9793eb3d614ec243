"""The defaults themselves keep every rule: a default is never read, so nothing else would notice."""

import dataclasses
import typing
from pathlib import Path

import pytest

from config import model
from config.kinds import Kind
from config.rules import check_cluster, check_daemon

MODELS = [
    each
    for each in vars(model).values()
    if isinstance(each, type) and dataclasses.is_dataclass(each)
]


@pytest.mark.parametrize("owner", MODELS, ids=lambda owner: owner.__name__)
def test_each_default_is_what_its_kind_would_read(owner: type) -> None:
    hints = typing.get_type_hints(owner, include_extras=True)
    for each in dataclasses.fields(owner):
        kind = getattr(hints[each.name], "__metadata__", (None,))[0]
        if isinstance(kind, Kind) and each.default is not dataclasses.MISSING:
            written = "" if each.default is None else each.default
            if isinstance(written, Path):
                written = str(written)
            if isinstance(written, tuple):
                written = list(written)
            assert kind.read(written, Path("/x")) == each.default, each.name


def test_the_defaults_agree_with_each_other() -> None:
    node = model.NodeConfig(number=0, name="a", address="127.0.0.1")
    check_cluster(model.ClusterConfig(name="c", node=(node,)), file="c")
    check_daemon(model.DaemonConfig(node="a", cluster=Path("c")), file="d")


MIB = 1 << 20


@pytest.mark.parametrize(
    ("budget", "reserve", "serves_swap", "expected"),
    [
        (4096 * MIB, 0, False, 0),
        (4096 * MIB, 0, True, 4096 * MIB // 50),
        (512 * MIB, 0, True, 32 * MIB),
        (64 * MIB, 0, True, 8 * MIB),
        (64 * MIB, 3 * MIB, True, 3 * MIB),
        (64 * MIB, 3 * MIB, False, 3 * MIB),
    ],
)
def test_a_node_that_serves_swap_has_a_reserve_in_proportion_to_its_budget(
    budget: int, reserve: int, serves_swap: bool, expected: int
) -> None:
    export = model.ExportConfig(name="x", size=MIB, swap=serves_swap)
    memory = model.MemoryConfig(budget=budget, reserve=reserve)
    daemon = model.DaemonConfig(node="a", cluster=Path("c"), memory=memory, export=(export,))
    assert daemon.reserve_bytes == expected


@pytest.mark.parametrize(
    ("swap", "on_unreachable", "waits"),
    [
        (False, model.OnUnreachable.AUTO, False),
        (True, model.OnUnreachable.AUTO, True),
        (True, model.OnUnreachable.ERROR, False),
        (False, model.OnUnreachable.WAIT, True),
    ],
)
def test_an_export_for_swap_outwaits_its_holders_unless_told_otherwise(
    swap: bool, on_unreachable: model.OnUnreachable, waits: bool
) -> None:
    export = model.ExportConfig(name="x", size=MIB, swap=swap, on_unreachable=on_unreachable)
    assert export.waits_for_unreachable is waits
