"""`ramsterctl doctor`: is this machine fit for a node, and for swap on it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from click.core import ParameterSource

from config.errors import ConfigError
from config.load import NO_FILE, load_node
from ramsterd.cli.colour import SEVERITIES, paint_heads
from ramsterd.cli.options import CONFIG_OPTION
from ramsterd.cli.output import OUTPUT_OPTION, Output, show
from ramsterd.doctor.applying import apply_lines
from ramsterd.doctor.daemon import file_of
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import EXIT_STATUS, Finding, State, worst
from ramsterd.doctor.judge import judge
from ramsterd.doctor.judge_around import judge_around
from ramsterd.doctor.machine import survey
from ramsterd.doctor.report import format_findings, to_json
from ramsterd.doctor.surroundings import Surroundings
from ramsterd.health.wording import check_config


@click.command("doctor")
@CONFIG_OPTION
@click.option("--swap", is_flag=True, help="Also check what a node needs that serves swap.")
@click.option(
    "--own-host",
    is_flag=True,
    help="Also check what this machine needs to swap to its own ramsterd, although nothing is attached yet.",
)
@click.option(
    "--apply",
    "applies",
    is_flag=True,
    help="Type the lines that change this machine at once (sysctl, limits of cgroups), then check again.",
)
@click.option(
    "--local",
    is_flag=True,
    help="Check this machine alone: no port, no other node, no certificate and no unit file is looked at.",
)
@OUTPUT_OPTION
@click.pass_context
def doctor_command(
    context: click.Context,
    config: Path,
    *,
    swap: bool,
    own_host: bool,
    applies: bool,
    local: bool,
    output: Output,
) -> None:
    """Check this machine before the first start of ramsterd, and after.

    Each check prints one line, the worst first; whatever is not ok has the line to type under it.
    Other nodes are looked at from here: can they be reached, and do they reach this one, are their
    clocks, versions and members the same.  That takes 20 seconds at most; --local leaves it out.
    Nothing is changed without --apply.  If ramsterd runs, the running daemon is checked, with the
    file that it was started with unless --config names one.  If not, the check is of what a start
    would get: from its systemd unit, or from this shell.

    With --swap: is ramsterd kept in memory, is there memory for a burst, and do pages come back.
    Where this machine swaps to its own ramsterd, more is needed (docs/swap.md): that is checked
    once a device is attached for it, or with --own-host.
    """
    examine = partial(
        _examine,
        _which(context, config),
        for_swap=swap or own_host,
        own_host=own_host,
        local=local,
    )
    findings = examine()
    if applies and _apply(findings):
        findings = examine()
    show(to_json(findings), output, lambda _: paint_heads(format_findings(findings), SEVERITIES))
    context.exit(EXIT_STATUS[worst(findings)])


def _apply(findings: list[Finding]) -> bool:
    """Return whether a line was typed; what is typed is said beside the output."""
    is_any = False
    for line, why_it_failed in apply_lines(findings):
        is_any = True
        click.echo(f"typed: {line}", err=True)
        if why_it_failed:
            click.echo(f"ramsterctl: that failed: {why_it_failed}", err=True)
    return is_any


@dataclass(frozen=True, slots=True)
class Which:
    """Which node is checked."""

    file: Path
    # Where its daemon answers if it runs; None: where the file says.
    control: Path | None
    # Whether that daemon has told the file.
    is_told: bool = False
    # Whether the operator has named the file.
    is_named: bool = False


def _which(context: click.Context, config: Path) -> Which:
    """Return what the operator names; without a name the running daemon says its file."""
    parent: click.Context = context.find_root()
    control: Path = context.obj.socket
    is_named = not _is_default(context, "config")
    if not is_named and (told := file_of(control)) is not None:
        return Which(told, control, is_told=True)
    named = None if _is_default(parent, "socket_path") else control
    return Which(config, named, is_named=is_named)


def _is_default(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.DEFAULT


def _examine(which: Which, *, for_swap: bool, own_host: bool, local: bool) -> list[Finding]:
    file = which.file
    try:
        daemon, cluster, _ = load_node(file)
    except ConfigError as error:
        return [broken_config(which, error)]
    control = which.control or daemon.control.socket
    facts = survey(
        daemon,
        cluster,
        file=str(file),
        is_file_of_running=which.is_told,
        control=control,
        wants_own_swap=own_host,
    )
    findings = judge(facts, for_swap=for_swap)
    if not local:
        findings += judge_around(facts, look_around(facts, control))
    return findings


def look_around(facts: Facts, control: Path | None) -> Surroundings:
    """Return what is around the daemon that the facts are of."""
    from ramsterd.doctor import around  # noqa: PLC0415  trio is for those who ask for it

    return around.look_around(facts, control=control)


def broken_config(which: Which, error: ConfigError) -> Finding:
    """Return the only finding of a node whose files are wrong: nothing else can be judged then."""
    fix = f"correct it, then: {check_config(str(which.file))}"
    if not (which.is_named or which.is_told) and error.found == NO_FILE:
        fix = "ramsterctl doctor --config FILE, with the file of this node"
    key = f" ({error.key})" if error.key else ""
    return Finding(
        check="config",
        state=State.ERROR,
        risk=f"ramsterd does not start with {error.file}{key}",
        found=error.found,
        expected=error.expected,
        fix=fix,
    )
