"""Does what is swapped out come back: exports, copies, kept memory, and devices of this machine.  Pure."""

from collections.abc import Iterator
from typing import Final

from config.copies import default_copies
from config.model import ExportConfig, KeepMemory
from ramsterd.doctor import fixes
from ramsterd.doctor.facts import Device, Facts
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.health.wording import ask_doctor

# Fewer, and the end of one other node is the end of what was swapped out to it.
COPIES_MIN: Final = 2
# More of five minutes than this is no burst.
STALLED_PERCENT_MAX: Final = 10.0
_UNITS: Final = ("ramster-nbd@.service", "ramster-swap@.service")
_RELOAD: Final = "ramsterctl config reload"


def check_exports(facts: Facts) -> Iterator[Finding]:
    """Judge the keys of the exports that kernels swap to."""
    exports = [export for export in facts.daemon.export if export.swap]
    used = {each.export for each in facts.devices if each.is_ours and each.is_swap}
    unsaid = sorted(used - {export.name for export in exports})
    for name in unsaid:
        yield _unsaid(
            facts, f"swap on export {name}, which does not say so", f'[[export]] "{name}"'
        )
    if not exports and not unsaid:
        yield _unsaid(facts, "no export for swap", "the [[export]] that is for swap")
    if not exports:
        return
    if not unsaid:
        yield ok("exports", f"for swap: {', '.join(export.name for export in exports)}")
    yield _check_copies(facts, exports)
    yield _check_unreachable(facts, exports)


def _unsaid(facts: Facts, found: str, where: str) -> Finding:
    return Finding(
        check="exports",
        state=State.ERROR if facts.is_own_host else State.WARNING,
        risk="without swap = true there is no reserve, and a node that is away for seconds costs pages",
        found=found,
        expected="swap = true",
        fix=f"set swap = true in {where} of {facts.file}, then: {_RELOAD}",
    )


def _check_copies(facts: Facts, exports: list[ExportConfig]) -> Finding:
    """One copy of a page that left is lost with its holder."""
    configured = facts.daemon.remote.copies or default_copies(facts.cluster)
    few = [each.name for each in exports if (each.copies or configured) < COPIES_MIN]
    holders = sum(
        node.name != facts.daemon.node and not node.draining for node in facts.cluster.node
    )
    if not few and holders >= COPIES_MIN:
        return ok("copies", f"at least {COPIES_MIN} other nodes keep each page that leaves")
    enough = f"at least {COPIES_MIN} copies, and as many other nodes"
    if holders < COPIES_MIN:
        found = f"{holders} other node{'' if holders == 1 else 's'} to keep pages"
        fix = "ramsterctl node add, at any node, until the cluster has three nodes or more"
    else:
        found = f"1 copy for {', '.join(few)}"
        fix = f"set copies = {COPIES_MIN} in [remote] of {facts.file}, then: {fixes.restart(facts)}"
    return Finding(
        check="copies",
        state=State.WARNING,
        risk="what was swapped out to one other node ends with that node",
        found=found,
        expected=enough,
        fix=fix,
    )


def _check_unreachable(facts: Facts, exports: list[ExportConfig]) -> Finding:
    failing = [each.name for each in exports if not each.waits_for_unreachable]
    if not failing:
        seconds = facts.daemon.remote.unreachable_seconds_max
        return ok("on-unreachable", f"swap waits up to {seconds:g} s for nodes that do not answer")
    return Finding(
        check="on-unreachable",
        state=State.WARNING,
        risk="a node that is away for seconds ends the programs whose pages it has",
        found=f'on_unreachable = "error" for {", ".join(failing)}',
        expected='"auto" or "wait"',
        fix=f'set on_unreachable = "auto" there in {facts.file}, then: {_RELOAD}',
    )


def check_own_swap(facts: Facts) -> Finding:
    """Say whether this machine swaps to exports of its own daemon: all other checks follow from that."""
    ours = [each for each in facts.devices if each.is_ours]
    swaps = ", ".join(f"/dev/{each.name} (export {each.export})" for each in ours if each.is_swap)
    if swaps:
        return ok("own-swap", f"this machine swaps to its own ramsterd: {swaps}")
    if facts.is_own_host:
        return ok("own-swap", "checked for swap of this machine to its own ramsterd")
    strange = [each.name for each in facts.devices if each.is_swap and not each.export]
    if strange:
        return Finding(
            check="own-swap",
            state=State.WARNING,
            risk="nobody knows whether this machine swaps to its own ramsterd",
            found=f"swap on {', '.join(strange)}, attached by another program",
            expected="devices that `ramsterctl nbd attach` attached",
            fix=f"swapoff /dev/{strange[0]}; then systemctl start ramster-swap@{strange[0]}",
        )
    check = ask_doctor(facts.file, "--swap --own-host")
    return ok(
        "own-swap", f"this machine does not swap to its own ramsterd; to check for that: {check}"
    )


def check_kept(facts: Facts) -> Finding:
    """Judge whether a start after a crash would find the pages."""
    keeper = _keeper_of_start(facts) if facts.running is None else facts.running.keeper
    if keeper:
        return ok("kept-memory", f"pages outlive a crash of ramsterd: kept by {keeper}")
    if facts.daemon.memory.keep is KeepMemory.NOBODY:
        found = 'keep = "no" in [memory]'
        fix = f'set keep = "auto" in [memory] of {facts.file}, then: {fixes.begin_keeping(facts)}'
    else:
        found = "nobody who keeps the memory of ramsterd"
        fix = fixes.begin_keeping(facts)
    return Finding(
        check="kept-memory",
        state=State.WARNING,
        risk="a crash of ramsterd ends all pages, and the programs whose memory they are",
        found=found,
        expected="systemd (FileDescriptorStoreMax= in the unit), or a folder on a tmpfs ([memory] keep)",
        fix=fix,
    )


def _keeper_of_start(facts: Facts) -> str:
    keep = facts.daemon.memory.keep
    if not isinstance(keep, KeepMemory):
        return f"the folder {keep}"
    if keep is KeepMemory.NOBODY or not facts.start.kept_descriptors:
        return ""
    return f"systemd ({facts.start.unit})"


def check_module(facts: Facts) -> Finding:
    """Judge whether the kernel has nbd."""
    if facts.kernel.has_nbd:
        return ok("nbd-module", "the kernel has nbd")
    return Finding(
        check="nbd-module",
        state=State.ERROR,
        risk="no export can be a device of this machine",
        found="no /sys/module/nbd",
        expected="the kernel's nbd",
        fix="modprobe nbd",
    )


def check_units(facts: Facts) -> Finding:
    """Judge whether systemd attaches devices at a boot, and takes swap off before the daemon stops."""
    missing = [name for name in _UNITS if name not in facts.unit_files]
    if not missing:
        return ok("helper-units", f"{' and '.join(_UNITS)} are installed")
    return Finding(
        check="helper-units",
        state=State.WARNING,
        risk="nobody takes swap off before ramsterd stops, nor puts it on at a boot",
        found=f"no {' and no '.join(missing)}",
        expected="both installed",
        fix=fixes.install_unit(
            " ".join([missing[0], *(f"systemd/{name}" for name in missing[1:])])
        ),
    )


def check_pressure(facts: Facts) -> Finding:
    """Judge how much of the time nobody ran, because all waited for memory."""
    stalled = facts.kernel.stalled_percent
    if stalled is None:
        return Finding(
            check="pressure",
            state=State.WARNING,
            risk="nobody sees for how long programs of this machine wait for memory",
            found="no pressure stall information (/proc/pressure/memory)",
            expected="a kernel that has it (CONFIG_PSI)",
            fix="boot with psi=1 on the kernel's command line",
        )
    found = f"all tasks waited for memory in {stalled:g} % of the last 5 minutes"
    if stalled <= STALLED_PERCENT_MAX:
        return ok("pressure", found)
    return Finding(
        check="pressure",
        state=State.WARNING,
        risk="this machine is slow now",
        found=found,
        expected=f"at most {STALLED_PERCENT_MAX:g} %",
        fix="systemd-cgtop -m, to see what uses the memory",
    )


def our_devices(facts: Facts) -> list[Device]:
    """Return the devices that must work for this machine to go on."""
    return [
        each
        for each in facts.devices
        if each.is_ours and (each.is_swap or facts.is_for_swap(each.export))
    ]
