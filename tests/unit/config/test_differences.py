"""What a running daemon applies of a changed file."""

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import differences
from config.differences import APPLIED, NEEDS_RESTART, Changed, Difference, compare
from config.limits import EXPORTS_MAX
from config.memory import MemoryBound
from config.model import DaemonConfig
from config.reader import read_toml
from config.rules import check_daemon
from tests.helpers.config_texts import DAEMON

TLS = 'tls = {ca = "ca.pem", certificate = "node.pem", key = "node.key"}\n'


def read(text: str) -> DaemonConfig:
    memory = MemoryBound(limit_bytes=1 << 30, name="the memory of this machine")
    config = read_toml(
        text.encode(), DaemonConfig, file="f", folder=Path("/etc/ramster"), memory=memory
    )
    check_daemon(config, file="f")
    return config


def keys_of(model: type, path: str = "") -> Iterator[str]:
    """Yield each key of a model, and of the tables in it; of a table that may be absent also its own."""
    hints = typing.get_type_hints(model)
    for each in dataclasses.fields(model):
        hint = hints[each.name]
        kinds = [hint, *typing.get_args(hint)]
        tables = [
            kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        ]
        for table in tables:
            yield from keys_of(table, f"{path}{each.name}.")
        if not tables or type(None) in kinds:
            yield f"{path}{each.name}"


def test_every_key_is_applied_or_needs_a_restart() -> None:
    assert not APPLIED & NEEDS_RESTART
    assert set(keys_of(DaemonConfig)) == APPLIED | NEEDS_RESTART
    assert set(differences.HINTS) <= NEEDS_RESTART


@pytest.mark.parametrize(
    "tied",
    [
        {"memory.high_watermark", "memory.low_watermark"},
        {"memory.budget", "memory.budget_max"},
        {"tmem.pool_pages_max", "tmem.user_pages_max"},
        {"nbd.listen", "metrics.listen"},
        {"nbd.socket", "tmem.socket", "control.socket"},
    ],
)
def test_keys_that_a_rule_ties_together_are_applied_together(tied: set[str]) -> None:
    """Else what runs after a reload might break a rule that both files keep."""
    assert tied <= APPLIED or tied <= NEEDS_RESTART


def keys(changed: tuple[Changed, ...]) -> list[str]:
    return [each.key for each in changed]


def change(old: str, new: str) -> Difference:
    return compare(read(old), read(new))


def test_a_file_that_says_the_same_changes_nothing() -> None:
    running = read(DAEMON)
    assert compare(running, read("# a comment\n" + DAEMON)) == Difference(
        config=running, applied=(), needs_restart=()
    )


def test_what_can_be_applied_is_and_the_rest_is_named() -> None:
    new = DAEMON.replace('"8MiB"', '"16MiB"\nhigh_watermark = 0.9\nlow_watermark = 0.8')
    found = change(DAEMON, new + '[log]\nlevel = "debug"\n[control]\nsocket = "c"\n')
    assert keys(found.applied) == ["memory.high_watermark", "memory.low_watermark", "log.level"]
    assert keys(found.needs_restart) == ["memory.budget", "control.socket"]
    assert found.applied[2].as_applied() == "log.level: 'debug', was 'info'"
    assert found.needs_restart[0].as_pending() == (
        "memory.budget: 8MiB, in the file 16MiB (`ramsterctl memory set` changes it until then)"
    )
    memory = found.config.memory
    assert (memory.budget, memory.high_watermark, memory.low_watermark) == (8 << 20, 0.9, 0.8)
    assert found.config.control.socket is None
    # It is named until the daemon is started again, and what is applied is not told twice.
    again = compare(found.config, read(new + '[log]\nlevel = "debug"\n[control]\nsocket = "c"\n'))
    assert again.applied == ()
    assert again.needs_restart == found.needs_restart


def test_exports_may_come_and_grow_but_not_go_or_shrink() -> None:
    new = DAEMON.replace('"1MiB"', '"2MiB"\ndescription = "swap"').replace("disk1", "disk2")
    found = change(DAEMON, new)
    assert [each.as_applied() for each in found.applied] == [
        "export.swap0.size: 2MiB, was 1MiB",
        "export.swap0.description: 'swap', was ''",
        "export.disk2: 4KiB, was absent",
    ]
    assert [each.as_pending() for each in found.needs_restart] == [
        "export.disk1: there, in the file gone"
    ]
    assert [(each.name, each.size) for each in found.config.export] == [
        ("swap0", 2 << 20),
        ("disk1", 4096),
        ("disk2", 4096),
    ]
    shrunk = change(new, DAEMON.replace("disk1", "disk2"))
    assert keys(shrunk.needs_restart) == ["export.swap0.size"]
    assert shrunk.config.export[0].size == 2 << 20
    assert shrunk.config.export[0].description == ""


def test_an_export_keeps_what_its_clients_were_told() -> None:
    for line in ("read_only = true", 'durability = "replicated"', "copies = 2", 'codec = "none"'):
        found = change(DAEMON, DAEMON.replace('"1MiB"', f'"1MiB"\n{line}'))
        assert keys(found.needs_restart) == [f"export.swap0.{line.split()[0]}"]
        assert found.config == read(DAEMON)


def test_what_a_loss_means_may_change_before_one() -> None:
    found = change(DAEMON, DAEMON.replace('"1MiB"', '"1MiB"\non_loss = "blank"'))
    assert keys(found.applied) == ["export.swap0.on_loss"]


def test_exports_that_are_gone_from_the_file_still_take_a_place() -> None:
    def exports(first: int) -> str:
        rows = (f'[[export]]\nname = "e{n}"\nsize = 4096\n' for n in range(first, first + 64))
        return 'node = "alpha"\ncluster = "cluster.toml"\n' + "".join(rows)

    found = change(exports(0), exports(1))
    assert keys(found.needs_restart) == ["export.e0", "export.e64"]
    assert len(found.config.export) == EXPORTS_MAX


def test_files_of_keys_may_change_but_not_come_or_go() -> None:
    keyed = TLS + 'heartbeat_key = "beat.key"\n' + DAEMON
    found = change(keyed, keyed.replace("node.pem", "new.pem").replace("beat.key", "new.key"))
    assert keys(found.applied) == ["heartbeat_key", "tls.certificate"]
    for old, new in ((DAEMON, keyed), (keyed, DAEMON)):
        found = change(old, new)
        assert keys(found.needs_restart) == ["heartbeat_key", "tls"]
        assert found.config == read(old)


@pytest.mark.parametrize(
    ("new", "shown"),
    [
        ("[log.subsystems]\nnet = 'debug'\n", "log.subsystems: net = debug, was none"),
        ("[tmem]\nusers = [0, 'root']\n", "tmem.users: 0, root, was none"),
        ("[nbd]\nconnections_max = 9\n", "nbd.connections_max: 9, was 64"),
        (
            "[remote]\nforeign_bytes_per_second = 0\n",
            "remote.foreign_bytes_per_second: 0B, was 256MiB",
        ),
    ],
)
def test_values_are_shown_as_people_read_them(new: str, shown: str) -> None:
    (changed,) = change(DAEMON, DAEMON + new).applied
    assert changed.as_applied() == shown


def test_a_share_is_shown_with_what_it_comes_to() -> None:
    (changed,) = change(DAEMON, DAEMON.replace('"8MiB"', '"50%"')).needs_restart
    assert changed.wanted == "512 MiB (50% of the memory of this machine, 1 GiB)"


def test_an_export_that_an_operator_ends_goes_or_shrinks_at_once_and_no_other_does() -> None:
    running = read(DAEMON)
    gone = read(DAEMON.replace('[[export]]\nname = "disk1"\nsize = 4096\n', ""))
    smaller = read(DAEMON.replace('"1MiB"', '"512KiB"'))
    found = compare(running, gone, ends="disk1")
    assert found.config == gone
    assert found.applied == (Changed(key="export.disk1", running="there", wanted="gone"),)
    found = compare(running, smaller, ends="swap0")
    assert found.config == smaller
    assert found.applied == (Changed(key="export.swap0.size", running="1MiB", wanted="512KiB"),)
    for wanted, other in ((gone, "swap0"), (smaller, "disk1"), (smaller, "")):
        found = compare(running, wanted, ends=other)
        assert found.config == running
        assert (len(found.applied), len(found.needs_restart)) == (0, 1)
