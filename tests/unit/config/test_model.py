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
