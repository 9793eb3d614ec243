"""An export for swap of this machine's own daemon is attached only where that can't hang the machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from ramsterd.attach.attachment import Level
from ramsterd.cli import nbd_swap
from ramsterd.cli.nbd_swap import refuse_unsafe_swap
from ramsterd.cli.output import EX_CONFIG
from ramsterd.doctor.facts import Facts
from tests.helpers.config_texts import CLUSTER, DAEMON, write
from tests.helpers.doctor_facts import BARE_PROCESS, FACTS, KERNEL, PROCESS

UNSAFE = replace(FACTS, kernel=replace(KERNEL, min_free_bytes=0))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the file of a daemon with swap0, which is for swap, and disk1, which is not."""
    write(tmp_path, "cluster.toml", CLUSTER)
    text = DAEMON.replace('name = "swap0"', 'name = "swap0"\nswap = true')
    return write(
        tmp_path, "ramsterd.toml", text + '[nbd]\nsocket = "nbd.sock"\nlisten = "127.0.0.1:10809"\n'
    )


class Said:
    """What the helper says, a line each."""

    def __init__(self) -> None:
        self.lines: list[tuple[Level, str]] = []

    def __call__(self, level: Level, text: str) -> None:
        self.lines.append((level, text))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Facts]:
    """Return what the machine is like: the last of the list; nothing is looked at otherwise."""
    facts = [UNSAFE]
    monkeypatch.setattr(nbd_swap, "survey", lambda *_, **__: facts[-1])
    monkeypatch.setattr(nbd_swap, "read_process", lambda _: PROCESS)
    return facts


def attach(
    config: Path, *, export: str = "swap0", server: str = "", force: bool = False
) -> list[tuple[Level, str]]:
    said = Said()
    where = server or str(config.parent / "nbd.sock")
    refuse_unsafe_swap("nbd0", export, where, config, said, force=force)
    return said.lines


def test_swap_that_may_hang_the_machine_is_refused_with_what_to_type(
    config: Path, machine: list[Facts], capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said()
    with pytest.raises(SystemExit) as end:
        refuse_unsafe_swap("nbd0", "swap0", "127.0.0.1:10809", config, said, force=False)
    assert end.value.code == EX_CONFIG
    ((level, line),) = said.lines
    assert level is Level.ERROR
    assert line.startswith("nbd0: min-free: sockets of ramsterd find no memory")
    assert "; type: printf 'vm.min_free_kbytes = 65536" in line
    last = capsys.readouterr().err
    assert "nbd0: not attached: export swap0 is for swap" in last
    assert f"`ramsterctl doctor --swap --own-host --config {config}` shows all" in last
    assert "--force" in last


def test_a_machine_that_is_ready_attaches_without_a_word(
    config: Path, machine: list[Facts]
) -> None:
    machine.append(FACTS)
    assert attach(config) == []


def test_force_attaches_and_says_what_is_missing(config: Path, machine: list[Facts]) -> None:
    ((level, line),) = attach(config, force=True)
    assert level is Level.WARNING
    assert "min-free" in line


@pytest.mark.parametrize(
    ("export", "server"),
    [("disk1", ""), ("unknown", ""), ("swap0", "/run/other.sock"), ("swap0", "192.0.2.1:10809")],
    ids=["a disk", "unknown", "another daemon", "another machine"],
)
def test_what_is_no_swap_of_this_machine_to_itself_is_not_judged(
    config: Path, machine: list[Facts], export: str, server: str
) -> None:
    assert attach(config, export=export, server=server) == []


def test_a_helper_that_is_not_protected_is_a_condition_too(
    config: Path, machine: list[Facts], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.append(FACTS)
    monkeypatch.setattr(nbd_swap, "read_process", lambda _: BARE_PROCESS)
    said = Said()
    with pytest.raises(SystemExit):
        refuse_unsafe_swap(
            "nbd0", "swap0", str(config.parent / "nbd.sock"), config, said, force=False
        )
    ((_, line),) = said.lines
    assert "the attach helper of nbd0 may wait" in line


def test_without_the_file_of_the_daemon_nobody_knows(tmp_path: Path) -> None:
    ((level, line),) = attach(tmp_path / "none.toml", server="/run/ramster/nbd.sock")
    assert level is Level.WARNING
    assert "nobody knows whether export swap0 is for swap of this machine" in line
    assert "--config" in line
    assert attach(tmp_path / "none.toml", server="192.0.2.1:10809") == []


def test_a_file_that_can_not_be_read_may_be_that_of_the_daemon(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("node = 1\n")
    with pytest.raises(SystemExit) as end:
        attach(config)
    assert end.value.code == EX_CONFIG
    said = capsys.readouterr().err
    assert "nbd0: not attached: nobody knows whether export swap0 is for swap" in said
    assert "--config FILE. --force attaches it all the same" in said
    ((level, line),) = attach(config, force=True)
    assert level is Level.WARNING
    assert "nobody knows" in line
