"""Does what is swapped out come back: exports, copies, kept memory, devices."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.model import KeepMemory, MemoryConfig, OnUnreachable, RemoteConfig
from ramsterd.doctor.facts import Device, Facts
from ramsterd.doctor.findings import State
from ramsterd.doctor.fixes import KEPT_DESCRIPTORS
from ramsterd.doctor.judge import judge
from ramsterd.doctor.swap_checks import (
    check_exports,
    check_kept,
    check_module,
    check_own_swap,
    check_pressure,
    check_units,
    our_devices,
)
from tests.docs.pages import ROOT
from tests.helpers.clusters import cluster_of
from tests.helpers.doctor_facts import (
    BARE_PROCESS,
    BARE_START,
    BEFORE,
    DEVICE,
    FACTS,
    HOST_OF_GUESTS,
    KERNEL,
    MIB,
    RUNNING,
    START,
    daemon_config,
    found,
)

NOT_FOR_SWAP = daemon_config(swap=False)
ATTACHED = replace(DEVICE, is_swap=False)
STRANGE = Device(name="nbd7", export="", is_ours=False, is_swap=True, helper=None)
ELSEWHERE = Device(name="nbd8", export="swap0", is_ours=False, is_swap=True, helper=DEVICE.helper)


@pytest.mark.parametrize(
    ("devices", "wants", "is_for_swap", "is_own"),
    [
        ((), False, True, False),
        ((), True, True, True),
        ((DEVICE,), False, True, True),
        ((DEVICE,), False, False, True),
        ((ATTACHED,), False, True, True),
        ((ATTACHED,), False, False, False),
        ((STRANGE, ELSEWHERE), False, True, False),
    ],
    ids=["guests", "asked", "swap", "swap unsaid", "attached", "a disk", "others"],
)
def test_a_machine_swaps_to_itself_if_a_device_for_swap_is_its_own(
    devices: tuple[Device, ...], wants: bool, is_for_swap: bool, is_own: bool
) -> None:
    facts = replace(
        FACTS, devices=devices, wants_own_swap=wants, daemon=daemon_config(swap=is_for_swap)
    )
    assert facts.is_own_host is is_own


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        (FACTS, State.OK, "swaps to its own ramsterd: /dev/nbd0 (export swap0)"),
        (BEFORE, State.OK, "checked for swap of this machine to its own ramsterd"),
        (HOST_OF_GUESTS, State.OK, "ramsterctl doctor --swap --own-host"),
        (
            replace(FACTS, devices=(STRANGE,)),
            State.WARNING,
            "swap on nbd7, attached by another program",
        ),
    ],
)
def test_who_swaps_is_told(facts: Facts, state: State, words: str) -> None:
    finding = check_own_swap(facts)
    assert finding.state is state
    assert words in finding.found


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        (FACTS, State.OK, "for swap: swap0"),
        (
            replace(FACTS, daemon=NOT_FOR_SWAP),
            State.ERROR,
            "swap on export swap0, which does not say so",
        ),
        (replace(BEFORE, daemon=NOT_FOR_SWAP), State.ERROR, "no export for swap"),
        (replace(HOST_OF_GUESTS, daemon=NOT_FOR_SWAP), State.WARNING, "no export for swap"),
    ],
    ids=["well", "used", "before", "guests"],
)
def test_an_export_for_swap_says_so(facts: Facts, state: State, words: str) -> None:
    finding = found(check_exports(facts), "exports")
    assert (finding.state, finding.found) == (state, words)
    assert state is State.OK or finding.fix.startswith("set swap = true in ")


@pytest.mark.parametrize(
    ("nodes", "copies", "of_export", "state", "words"),
    [
        (3, 0, 0, State.OK, ""),
        (2, 0, 0, State.WARNING, "1 other node to keep pages"),
        (1, 0, 0, State.WARNING, "0 other nodes to keep pages"),
        (2, 2, 0, State.WARNING, "1 other node to keep pages"),
        (4, 1, 0, State.WARNING, "1 copy for swap0"),
        (4, 1, 2, State.OK, ""),
        (4, 0, 1, State.WARNING, "1 copy for swap0"),
    ],
)
def test_two_other_nodes_keep_each_page(
    nodes: int, copies: int, of_export: int, state: State, words: str
) -> None:
    daemon = replace(daemon_config(copies=of_export), remote=RemoteConfig(copies=copies))
    facts = replace(FACTS, daemon=daemon, cluster=cluster_of(nodes))
    finding = found(check_exports(facts), "copies")
    assert finding.state is state
    assert state is State.OK or finding.found == words


def test_nodes_that_drain_keep_nothing() -> None:
    first, second, third = cluster_of(3).node
    cluster = replace(FACTS.cluster, node=(first, second, replace(third, draining=True)))
    finding = found(check_exports(replace(FACTS, cluster=cluster)), "copies")
    assert finding.found == "1 other node to keep pages"


def test_swap_waits_for_nodes_that_do_not_answer() -> None:
    assert "up to 300 s" in found(check_exports(FACTS), "on-unreachable").found
    daemon = daemon_config(on_unreachable=OnUnreachable.ERROR)
    finding = found(check_exports(replace(FACTS, daemon=daemon)), "on-unreachable")
    assert finding.found == 'on_unreachable = "error" for swap0'
    assert finding.fix.endswith("then: ramsterctl config reload")


FOLDER = daemon_config(memory=MemoryConfig(budget=512 * MIB, keep=Path("/mnt/memory")))


@pytest.mark.parametrize(
    ("facts", "keeper"),
    [
        (FACTS, "systemd"),
        (replace(FACTS, running=replace(RUNNING, keeper="")), None),
        (BEFORE, "systemd (ramsterd.service)"),
        (replace(BEFORE, start=BARE_START), None),
        (replace(BEFORE, start=BARE_START, daemon=FOLDER), "the folder /mnt/memory"),
    ],
)
def test_pages_outlive_a_crash_where_somebody_keeps_them(facts: Facts, keeper: str | None) -> None:
    finding = check_kept(facts)
    assert finding.state is (State.WARNING if keeper is None else State.OK)
    assert keeper is None or finding.found.endswith(f"kept by {keeper}")


def test_systemd_that_is_switched_off_keeps_nothing() -> None:
    daemon = daemon_config(memory=MemoryConfig(budget=512 * MIB, keep=KeepMemory.NOBODY))
    finding = check_kept(replace(BEFORE, daemon=daemon))
    assert (finding.state, finding.found) == (State.WARNING, 'keep = "no" in [memory]')


NOT_KEPT = replace(FACTS, running=replace(RUNNING, keeper=""))
BY_HAND = replace(NOT_KEPT, groups=replace(FACTS.groups, levels=()))
NO_STORE = replace(START, kept_descriptors=0)
INSTALL = (
    "in a clone of this version: cp systemd/ramsterd.service /etc/systemd/system/"
    " && systemctl daemon-reload && "
)
DROP_IN = (
    "mkdir -p /etc/systemd/system/ramsterd.service.d"
    r" && printf '[Service]\nFileDescriptorStoreMax=4111\n'"
    " >/etc/systemd/system/ramsterd.service.d/keep.conf && systemctl daemon-reload && "
)
STOP = "ramsterctl stop && systemctl start ramsterd.service (the stop is refused while pages would end)"
KEEP_NOBODY = daemon_config(memory=MemoryConfig(budget=512 * MIB, keep=KeepMemory.NOBODY))


@pytest.mark.parametrize(
    ("facts", "fix"),
    [
        (NOT_KEPT, "ramsterctl restart"),
        (replace(NOT_KEPT, start=NO_STORE), f"{DROP_IN}ramsterctl restart"),
        (BY_HAND, STOP),
        (replace(BY_HAND, start=BARE_START), f"{INSTALL}{STOP}"),
        (replace(BEFORE, start=NO_STORE), f"{DROP_IN}systemctl start ramsterd.service"),
        (replace(BEFORE, start=BARE_START), f"{INSTALL}systemctl start ramsterd.service"),
        (
            replace(NOT_KEPT, daemon=KEEP_NOBODY),
            'set keep = "auto" in [memory] of /etc/ramster/ramsterd.toml, then: ramsterctl restart',
        ),
    ],
    ids=["unit", "old unit", "by hand", "no unit", "before", "before, no unit", "no"],
)
def test_the_line_by_which_systemd_begins_to_keep_pages_ends_none(facts: Facts, fix: str) -> None:
    finding = check_kept(facts)
    assert finding.fix == fix
    assert "systemctl restart" not in finding.fix
    assert "--forget" not in finding.fix


def test_a_drop_in_keeps_as_many_descriptors_as_the_unit_of_this_version() -> None:
    text = (ROOT / "systemd" / "ramsterd.service").read_text()
    assert f"FileDescriptorStoreMax={KEPT_DESCRIPTORS}\n" in text


def test_no_line_for_a_node_whose_pages_nobody_keeps_ends_them() -> None:
    bare = replace(
        NOT_KEPT,
        running=replace(RUNNING, keeper="", process=BARE_PROCESS, reserve_bytes=0),
        start=NO_STORE,
        cluster=cluster_of(1),
    )
    for facts in (bare, replace(bare, daemon=KEEP_NOBODY), replace(bare, daemon=NOT_FOR_SWAP)):
        fixes = [each.fix for each in judge(facts, for_swap=True)]
        assert any("ramsterctl stop && systemctl start ramsterd.service" in each for each in fixes)
        assert not [each for each in fixes if "systemctl restart ramsterd" in each]


def test_a_kernel_without_nbd_attaches_nothing() -> None:
    assert check_module(FACTS).state is State.OK
    finding = check_module(replace(FACTS, kernel=replace(KERNEL, has_nbd=False)))
    assert (finding.state, finding.fix) == (State.ERROR, "modprobe nbd")


@pytest.mark.parametrize(
    ("installed", "fix"),
    [
        (
            {"ramster-nbd@.service"},
            "in a clone of this version: cp systemd/ramster-swap@.service /etc/systemd/system/ && systemctl daemon-reload",
        ),
        (
            set[str](),
            "in a clone of this version: cp systemd/ramster-nbd@.service systemd/ramster-swap@.service /etc/systemd/system/ && systemctl daemon-reload",
        ),
    ],
    ids=["one", "both"],
)
def test_units_that_are_missing_are_told_with_how_to_install_them(
    installed: set[str], fix: str
) -> None:
    assert check_units(FACTS).state is State.OK
    finding = check_units(replace(FACTS, unit_files=frozenset(installed)))
    assert (finding.state, finding.fix) == (State.WARNING, fix)


@pytest.mark.parametrize(
    ("percent", "state"), [(None, State.WARNING), (10.0, State.OK), (10.5, State.WARNING)]
)
def test_a_machine_that_waits_for_memory_is_told(percent: float | None, state: State) -> None:
    kernel = replace(KERNEL, stalled_percent=percent)
    assert check_pressure(replace(FACTS, kernel=kernel)).state is state


def test_only_devices_for_swap_of_ours_must_have_a_protected_helper() -> None:
    facts = replace(FACTS, devices=(DEVICE, STRANGE, ELSEWHERE, replace(ATTACHED, export="disk1")))
    assert our_devices(facts) == [DEVICE]
