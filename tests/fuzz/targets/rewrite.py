"""Any text of a cluster file is rewritten to say what is wanted, with every comment kept, or ConfigError."""

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from config.errors import ConfigError
from config.model import ClusterConfig, NodeConfig
from config.reader import read_toml
from config.rewrite import rewrite_members
from config.rules import check_cluster
from nodemanager.changes import Add, ChangeRefused, Cordon, Remove, changed
from nodemanager.ids import NodeId
from tests.fuzz.target import Target
from tests.fuzz.targets.cluster_file import judge
from tests.fuzz.toml import change_text
from tests.helpers.config_texts import CLUSTER, SAMPLES

FILE: Final = "cluster.toml"
NEW: Final = NodeConfig(number=77, name="new", address="127.0.0.1", port=7777)
# What is wanted of a text that is no cluster file.
ANY: Final = ClusterConfig(name="lab", node=(NEW,))


def read(text: str) -> ClusterConfig | None:
    """Return the cluster that a text describes, None if it describes none."""
    try:
        cluster = read_toml(text.encode(), ClusterConfig, file=FILE, folder=Path())
        check_cluster(cluster, file=FILE)
    except ConfigError:
        return None
    return cluster


def wanted(cluster: ClusterConfig, choice: int) -> tuple[str, ClusterConfig]:
    """Return a change and its result, as the first byte of an input chooses."""
    node = cluster.node[choice // 8 % len(cluster.node)]
    number = NodeId(node.number)
    try:
        match choice % 8:
            case 0 | 1:
                return "add", changed(cluster, Add(NEW), NodeId(1))
            case 2 | 3:
                return "remove", changed(cluster, Remove(number), NodeId(1))
            case 4 | 5:
                return "cordon", changed(cluster, Cordon(number, not node.cordoned), NodeId(1))
            case 6:
                moved = replace(node, address="127.0.0.9", port=9, zone="z", name="moved")
                nodes = tuple(moved if each is node else each for each in cluster.node)
                return "all", replace(cluster, node=(*nodes[1:], NEW, nodes[0]))
            case _:
                pass
    except ChangeRefused:
        pass
    return "nothing", cluster


def check(data: bytes) -> set[str]:
    try:
        text = data[1:].decode()
    except UnicodeDecodeError:
        return {"no text"}
    cluster = read(text)
    name, want = wanted(cluster, data[0]) if cluster else ("no cluster", ANY)
    try:
        new = rewrite_members(text, want, file=FILE)
    except ConfigError as error:
        return {f"refused {name}"} | judge(error, FILE)
    # Members that were wrong may be right now.
    says = read_toml(new.encode(), ClusterConfig, file=FILE, folder=Path())
    assert says.in_order() == want.in_order()
    if cluster:
        kept = comments_apart(text) if name == "remove" else comments(text)
        assert kept <= comments(new), "a comment was lost"
    assert rewrite_members(new, want, file=FILE) == new, "the second time changes something"
    return {name}


def comments(text: str) -> set[str]:
    """Return the lines that are nothing but a comment."""
    return {line.strip() for line in text.split("\n") if line.strip().startswith("#")}


def comments_apart(text: str) -> set[str]:
    """Return those of them that blank lines part from all else, and that a table or the end follows: they are of no member."""
    found: set[str] = set()
    is_above = True
    for paragraph in reversed(re.split(r"\n[ \t\r]*\n", text)):
        lines = [line.strip() for line in paragraph.split("\n") if line.strip()]
        others = [line for line in lines if not line.startswith("#")]
        if others:
            is_above = others[0].startswith("[")
        elif is_above:
            found.update(lines)
    return found


def seeds() -> Mapping[str, bytes]:
    text = CLUSTER.encode()
    spoken = (
        b"# of the cluster\n" + text.replace(b"[[node]]", b"# of a node\n[[node]]") + b"# the end\n"
    )
    return {
        "add": b"\x00" + spoken,
        "remove": b"\x02" + spoken,
        "rewritten-rows": b"\x00" + text.replace(b"= 1", b"= []"),
        "remove-last": b"\x0a" + spoken,
        "cordon": b"\x04" + spoken,
        "all": b"\x06" + spoken,
        "nothing": b"\x07" + spoken,
        "sample": b"\x00" + (SAMPLES / "cluster.toml").read_bytes(),
        "no-newline": b"\x00" + text.rstrip(),
        "apart": b"\x02" + spoken + b"\n# apart\n",
        "inline": b'\x00name = "lab"\nnode = [{number = 1, name = "a", address = "::1"}]\n',
        "no-number": b'\x00name = "lab"\n[[node]]\nname = "a"\n',
        "empty-row": b"\x00" + text + b"[[node]]\n",
        "no-date": b"\x00" + text + b"zone = 2026-02-31\n",
        "deep": b"\x00a = " + b"[" * 1500,
        "windows": b"\x04" + spoken.replace(b"\n", b"\r\n"),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    return data[:1] + change_text(data[1:], rng)


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {"add", "remove", "cordon", "all", "nothing", "refused no cluster", "refused add"}
    ),
    repair=repair,
    bytes_max=2048,
    tokens=(b"[[node]]", b"number", b"name", b"# ", b'"""', b"'''", b" = {", b"\r\n", b"node"),
)
