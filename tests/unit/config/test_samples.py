"""The samples teach: they load, name every key, and tell the true defaults."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.load import load_cluster, load_daemon, load_node
from config.model import ClusterConfig, DaemonConfig
from tests.helpers.config_texts import SAMPLES, write

# An example rather than a default: no subsystem differs unless the operator says so.
EXAMPLE = '#net = "debug"\n'


def test_the_samples_load_together() -> None:
    daemon, cluster, node = load_node(SAMPLES / "ramsterd.toml")
    assert daemon.node == node.name == "alpha"
    assert len(cluster.node) == 3


def fields_of(model: type) -> Iterator[tuple[type, str]]:
    """Yield each field of a model and of the models inside it."""
    hints = typing.get_type_hints(model)
    for each in dataclasses.fields(model):
        yield model, each.name
        inner = [hints[each.name], *typing.get_args(hints[each.name])]
        for kind in inner:
            if dataclasses.is_dataclass(kind) and isinstance(kind, type):
                yield from fields_of(kind)


@pytest.mark.parametrize(
    ("file", "model"), [("cluster.toml", ClusterConfig), ("ramsterd.toml", DaemonConfig)]
)
def test_every_key_is_in_the_samples(file: str, model: type) -> None:
    text = (SAMPLES / file).read_text()
    pairs = list(fields_of(model))
    assert len(pairs) > 10
    for owner, name in pairs:
        mention = rf"^(#?{name} = |#?\[+(\w+\.)?{name}\]+$)"
        assert re.search(mention, text, re.MULTILINE), f"{owner.__name__}.{name}"


def test_what_is_commented_out_is_the_default(tmp_path: Path) -> None:
    for file in ("cluster.toml", "ramsterd.toml"):
        text = (SAMPLES / file).read_text()
        # [tls] has no default: no file of that kind is there by itself.
        text = re.sub(r"^#\[tls\]\n(#.*\n)*", "", text, flags=re.MULTILINE)
        bare = re.sub(r"^#(\w+ = )", r"\1", text.replace(EXAMPLE, ""), flags=re.MULTILINE)
        assert bare != text
        write(tmp_path, file, bare)
    write(tmp_path, "sample.toml", (SAMPLES / "ramsterd.toml").read_text())
    assert load_cluster(tmp_path / "cluster.toml") == load_cluster(SAMPLES / "cluster.toml")
    assert load_daemon(tmp_path / "ramsterd.toml") == load_daemon(tmp_path / "sample.toml")


def test_lines_are_short_enough_to_read() -> None:
    for path in SAMPLES.glob("*.toml"):
        assert max(len(line) for line in path.read_text().splitlines()) <= 100
