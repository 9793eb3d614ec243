"""Before an export becomes a device of its own host: may this machine swap to its own ramsterd?"""

from collections.abc import Callable
from pathlib import Path

from config.errors import ConfigError
from config.load import NO_FILE, load_node
from ramsterd.attach.attachment import Level
from ramsterd.cli.output import EX_CONFIG, fail
from ramsterd.doctor.facts import Device
from ramsterd.doctor.findings import Finding, State
from ramsterd.doctor.judge import conditions_of_own_swap
from ramsterd.doctor.machine import read_process, survey
from ramsterd.doctor.process_checks import check_helper
from ramsterd.doctor.servers import is_own_server, may_be_of_this_machine
from ramsterd.health.wording import ask_doctor

Say = Callable[[Level, str], None]


def refuse_unsafe_swap(
    device: str, export: str, server: str, config: Path, say: Say, *, force: bool
) -> None:
    """End the process if the export is for swap, of this machine's own daemon, and that is unsafe or unknown.

    Only for a new device: one that is in use must be kept attached whatever is missing.

    Args:
        device: Its name.
        export: The export.
        server: Where its daemon serves.
        config: The file of that daemon, if it is one of this machine.
        say: Where lines go.
        force: Attach it all the same, and say what is missing.
    """
    if not may_be_of_this_machine(server):
        return
    try:
        daemon, cluster, _ = load_node(config)
    except ConfigError as error:
        _judge_unknown(device, export, config, error, say, force=force)
        return
    if not is_own_server(server, daemon):
        return
    if not any(each.swap for each in daemon.export if each.name == export):
        return
    facts = survey(
        daemon, cluster, file=str(config), control=daemon.control.socket, wants_own_swap=True
    )
    helper = Device(
        name=device, export=export, is_ours=True, is_swap=False, helper=read_process("self")
    )
    findings = [*conditions_of_own_swap(facts), *check_helper(helper)]
    errors = [each for each in findings if each.state is State.ERROR]
    for each in errors:
        say(Level.WARNING if force else Level.ERROR, line_of(device, each))
    if errors and not force:
        shows_all = ask_doctor(str(config), "--swap --own-host")
        fail(
            f"{device}: not attached: export {export} is for swap, and this machine can hang when it swaps to its own"
            f" ramsterd without these {len(errors)} conditions. `{shows_all}` shows all."
            " --force attaches it all the same",
            EX_CONFIG,
        )


def _judge_unknown(
    device: str, export: str, config: Path, error: ConfigError, say: Say, *, force: bool
) -> None:
    """Warn where no ramsterd has files; a file that can't be read may be that of the daemon."""
    unknown = f"nobody knows whether export {export} is for swap of this machine: {error}"
    if force or (error.file, error.found) == (str(config), NO_FILE):
        say(Level.WARNING, f"{device}: {unknown}; name the file of its ramsterd with --config FILE")
        return
    fail(
        f"{device}: not attached: {unknown}; correct that, or name another file with --config FILE."
        " --force attaches it all the same",
        EX_CONFIG,
    )


def line_of(device: str, finding: Finding) -> str:
    """Return a finding as a line of the log."""
    return f"{device}: {finding.check}: {finding}; type: {finding.fix}"
