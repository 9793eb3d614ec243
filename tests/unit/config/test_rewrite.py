"""Members change in the text of a cluster file; the rest of it stays."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.model import ClusterConfig, NodeConfig
from config.reader import read_toml
from config.rewrite import rewrite_members

TEXT = """\
# top
name = "test"  # the name

# about timers
[timers]
idle_seconds = 20.0

# about alpha
[[node]]
number = 1
name = "alpha"
address = "127.0.0.1"  # where
# about beta
[[node]]
number = 2
name = "beta"
address = "127.0.0.1"
port = 7702
# the end
"""
DELTA = NodeConfig(number=4, name="delta", address="127.0.0.1", port=7704, zone="rack2")


def read(text: str) -> ClusterConfig:
    return read_toml(text.encode(), ClusterConfig, file="cluster.toml", folder=Path())


def rewrite(text: str, wanted: ClusterConfig) -> str:
    return rewrite_members(text, wanted, file="cluster.toml")


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


def test_a_member_is_added_at_the_end() -> None:
    cluster = read(TEXT)
    wanted = replace(cluster, node=(*cluster.node, DELTA), membership_version=1)
    new = rewrite(TEXT, wanted)
    assert read(new) == wanted
    assert new.endswith(
        '[[node]]\nnumber = 4\nname = "delta"\naddress = "127.0.0.1"\nport = 7704\nzone = "rack2"\n'
    )
    assert comments(new) == comments(TEXT)


def test_the_version_stands_below_the_name() -> None:
    wanted = replace(read(TEXT), membership_version=3, membership_origin=2)
    lines = rewrite(TEXT, wanted).splitlines()
    place = lines.index('name = "test"  # the name')
    assert lines[place + 1 : place + 3] == ["membership_version = 3", "membership_origin = 2"]
    again = replace(wanted, membership_version=4)
    assert rewrite("\n".join(lines), again).count("membership_version") == 1


@pytest.mark.parametrize(
    ("number", "gone"), [(1, ["# about alpha", "# where"]), (2, ["# about beta", "# the end"])]
)
def test_a_removed_member_takes_the_comments_that_speak_of_it(number: int, gone: list[str]) -> None:
    cluster = read(TEXT)
    wanted = replace(cluster, node=tuple(each for each in cluster.node if each.number != number))
    new = rewrite(TEXT, wanted)
    assert read(new) == wanted
    assert comments(new) == [each for each in comments(TEXT) if each not in gone]


def test_all_changes_at_once_leave_every_other_line() -> None:
    cluster = read(TEXT)
    alpha, beta = cluster.node
    spoken = TEXT + "\n# apart\n"
    wanted = replace(
        cluster,
        node=(DELTA, replace(beta, port=7712, cordoned=True), replace(DELTA, number=5, name="eps")),
        membership_version=8,
    )
    assert rewrite(spoken, wanted) == (
        '# top\nname = "test"  # the name\nmembership_version = 8\n\n# about timers\n[timers]\n'
        'idle_seconds = 20.0\n\n# about beta\n[[node]]\nnumber = 2\nname = "beta"\n'
        'address = "127.0.0.1"\nport = 7712\ncordoned = true\n# the end\n\n'
        '[[node]]\nnumber = 4\nname = "delta"\naddress = "127.0.0.1"\nport = 7704\nzone = "rack2"\n\n'
        '[[node]]\nnumber = 5\nname = "eps"\naddress = "127.0.0.1"\nport = 7704\nzone = "rack2"\n\n'
        "# apart\n"
    )
    assert alpha.number == 1


def test_a_cordon_is_written_behind_the_keys_of_its_node_and_undone_in_place() -> None:
    cluster = read(TEXT)
    first, second = cluster.node
    cordoned = replace(cluster, node=(replace(first, cordoned=True), second))
    new = rewrite(TEXT, cordoned)
    assert "# where\ncordoned = true\n# about beta\n" in new
    back = rewrite(new, cluster)
    assert read(back) == cluster
    assert comments(back) == comments(TEXT)


def test_a_file_without_a_last_line_end_is_as_good() -> None:
    cluster = read(TEXT)
    text = TEXT.removesuffix("# the end\n").rstrip()
    wanted = replace(
        cluster, node=(cluster.node[0], replace(cluster.node[1], cordoned=True), DELTA)
    )
    assert read(rewrite(text, wanted)) == wanted


def test_members_in_another_order_than_the_file_has_are_as_good() -> None:
    cluster = read(TEXT)
    wanted = replace(cluster, node=(DELTA, *reversed(cluster.node)), membership_version=2)
    new = rewrite(TEXT, wanted)
    assert [node.number for node in read(new).node] == [1, 2, 4]


@pytest.mark.parametrize(
    "text",
    [
        'name = "test"\nnode = [{number = 1, name = "alpha", address = "127.0.0.1"}]\n',
        'name = "other"\n[[node]]\nnumber = 1\nname = "alpha"\naddress = "127.0.0.1"\n',
        '"name" = "test"\n[timers\n',
        'name = "test"\n[[node]]\nnumber = []\n',
        'name = "test"\n[[node]]\nname = "alpha"\n',
        'name = "test"\nna' + "\t" * 600 + "me = 1\n",
        'name = "test"\na = ' + "[" * 5000,
        'name = "test"\na = 2026-02-31\n',
    ],
)
def test_what_can_not_be_changed_is_refused(text: str) -> None:
    wanted = replace(read(TEXT), membership_version=1)
    with pytest.raises(ConfigError, match=r"cluster\.toml") as caught:
        rewrite(text, wanted)
    assert str(caught.value).isprintable(), "one line"
    assert len(str(caught.value)) < 300


def test_the_order_of_a_drain_comes_and_goes_with_it() -> None:
    cluster = read(TEXT)
    alpha, beta = cluster.node
    drained = replace(
        alpha, cordoned=True, draining=True, drain_number=1, drain_began_at=1000,
        drain_deadline_at=2000, drain_origin=2, drain_reason="a \"new\" kernel",
    )  # fmt: skip
    during = rewrite(TEXT, replace(cluster, node=(drained, beta), membership_version=1))
    assert read(during).node == (drained, beta)
    assert 'drain_reason = "a \\"new\\" kernel"' in during
    after = rewrite(during, replace(cluster, node=(alpha, beta), membership_version=2))
    assert read(after).node == (alpha, beta)
    assert "drain_" not in after
    assert comments(after) == comments(TEXT)
