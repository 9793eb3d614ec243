"""Any text of a cluster file is a cluster that keeps every rule, or ConfigError in one line that names the file."""

from collections.abc import Mapping
from pathlib import Path

from config.errors import ConfigError
from config.model import ClusterConfig
from config.reader import read_toml
from config.rules import check_cluster, check_plaintext
from tests.fuzz.target import Target
from tests.fuzz.toml import change_text
from tests.helpers.config_texts import CLUSTER, SAMPLES

FILE = "cluster.toml"


def judge(error: ConfigError, file: str) -> set[str]:
    """An operator gets one line."""
    line = str(error)
    assert line.startswith(f"{file}: ")
    assert line.isprintable()
    assert len(line) < 600
    return {"refused"} | ({"bad TOML"} if "TOML" in line else set())


def check(data: bytes) -> set[str]:
    try:
        cluster = read_toml(data, ClusterConfig, file=FILE, folder=Path("/etc/ramster"))
        check_cluster(cluster, file=FILE)
    except ConfigError as error:
        return judge(error, FILE)
    numbers = {node.number for node in cluster.node}
    assert len(numbers) == len({node.name for node in cluster.node}) == len(cluster.node) > 0
    try:
        check_plaintext(cluster, has_tls=False, file=FILE)
    except ConfigError as error:
        return judge(error, FILE) | {"cluster", "needs TLS"}
    return {"cluster", "plaintext"}


def seeds() -> Mapping[str, bytes]:
    text = CLUSTER.encode()
    return {
        "plain": text,
        "sample": (SAMPLES / "cluster.toml").read_bytes(),
        "elsewhere": text.replace(b"127.0.0.1", b"10.0.0.1"),
        "same-port": text.replace(b"7702", b"7701"),
        "same-name": text.replace(b"beta", b"alpha"),
        "not-utf-8": b"\xff",
        "deep": b"a = " + b"[" * 2000,
        "no-number": b"a = " + b"9" * 5000,
        "no-date": b"a = 2026-02-31",
        "dotted": text + b"zone = 'a'\ntimers.idle_seconds = 3\n",
        "timers": b"timers = {idle_seconds = 1.0}\n" + text,
    }


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset({"cluster", "refused", "bad TOML", "plaintext", "needs TLS"}),
    repair=change_text,
    tokens=(
        b"[[node]]",
        b"number",
        b"name",
        b"address",
        b"[timers]",
        b'"""',
        b"'''",
        b" = {",
        b"\\u",
    ),
)
