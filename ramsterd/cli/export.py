"""`ramsterctl export`: exports of a node that come, go, get another size, or are blank again."""

import time
from enum import StrEnum
from typing import Any, Final

import click

from config.model import Durability, OnLoss, OnUnreachable, PoolCodec
from config.units import human_bytes
from ramsterd.cli.ask import Ask
from ramsterd.cli.output import OUTPUT_OPTION, Output, fail, show, warn
from ramsterd.cli.state import reset_command
from ramsterd.cli.target import AT_NODE, Target

# Most changes are done at once; a daemon that drops many pages is not asked all the time.
POLL_SECONDS: Final = 0.05
POLL_SECONDS_MAX: Final = 0.5
# A file is written, and pages are dropped: a disk that takes longer is told of.
CHANGE_SECONDS_MAX: Final = 60.0
SLOW_DISK: Final = "the disk has not answered yet"
SLOW_DROP: Final = "pages are still being dropped, or the disk has not answered yet"
SIZE_HELP: Final = "A multiple of 4096 bytes, such as 512MiB or 16GiB."


def export_group(ask: Ask) -> click.Group:
    """Return the group `export`."""

    @click.group()
    def export() -> None:
        """Change an export of this node.

        add, remove and resize change ramsterd.toml of the node (comments stay) and the daemon, at
        once: both, or neither.
        """

    export.add_command(_add(ask))
    export.add_command(_remove(ask))
    export.add_command(_resize(ask))
    export.add_command(reset_command(ask))
    return export


def _values(kind: type[StrEnum]) -> list[str]:
    return [each.value for each in kind]


def _add(ask: Ask) -> click.Command:
    @click.command("add")
    @click.argument("name")
    @click.option("--size", required=True, help=SIZE_HELP)
    @click.option("--swap", is_flag=True, help="A kernel swaps to it (see docs/swap.md).")
    @click.option("--description", help="A description for people.")
    @click.option("--read-only", is_flag=True, help="Refuse every write.")
    @click.option(
        "--durability", type=click.Choice(_values(Durability)), help="When a FLUSH is answered."
    )
    @click.option(
        "--copies",
        type=int,
        help="How many other nodes keep its pages: 1 to 3, or 0 for [remote] copies.",
    )
    @click.option(
        "--codec", type=click.Choice(_values(PoolCodec)), help="How its pages are compressed."
    )
    @click.option(
        "--on-loss",
        type=click.Choice(_values(OnLoss)),
        help="What happens to the export after its pages were lost.",
    )
    @click.option(
        "--on-unreachable",
        type=click.Choice(_values(OnUnreachable)),
        help="What a read does while the nodes with its pages do not answer.",
    )
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def add(target: Target, /, name: str, size: str, output: Output, **values: object) -> None:
        """Add the export NAME.  Clients may open it at once.

        The options are the keys of [[export]] in ramsterd.toml; without an option the default of
        the file is used.
        """
        given = {
            key: value for key, value in values.items() if not (value is None or value is False)
        }
        table = {"name": name, "size": _size(size), **given}
        _finish(ask, target, ask(target, "export-add", export=table), output)

    return add


def _remove(ask: Ask) -> click.Command:
    @click.command("remove")
    @click.argument("name")
    @click.option("--force", is_flag=True, help="Remove the export although its pages are dropped.")
    @OUTPUT_OPTION
    @click.pass_obj
    def remove(target: Target, name: str, force: bool, output: Output) -> None:
        """Remove the export NAME.

        It is refused while a client has the export open.  It is also refused if the export has
        pages, unless you type --force: they are dropped, here and at all other nodes.
        """
        begun = ask(target, "export-remove", name=name, force=force)
        _finish(ask, target, begun, output)

    return remove


def _resize(ask: Ask) -> click.Command:
    @click.command("resize")
    @click.argument("name")
    @click.option("--size", required=True, help=SIZE_HELP)
    @click.option("--force", is_flag=True, help="Shrink the export although pages are dropped.")
    @OUTPUT_OPTION
    @click.pass_obj
    def resize(target: Target, name: str, size: str, force: bool, output: Output) -> None:
        """Give the export NAME another size.

        A larger size is safe: connected clients stay, and see it when they connect again.  A
        smaller size is refused while a client has the export open.  It is also refused if the
        export has pages beyond the new size, unless you type --force: these pages are dropped.
        """
        begun = ask(target, "export-resize", name=name, size=_size(size), force=force)
        _finish(ask, target, begun, output, slow=SLOW_DROP if force else SLOW_DISK)

    return resize


def _size(text: str) -> int | str:
    """Return a size as the file has it: a plain number is one of bytes."""
    return int(text) if text.isascii() and text.isdecimal() else text


def _finish(
    ask: Ask, target: Target, begun: dict[str, Any], output: Output, *, slow: str = SLOW_DISK
) -> None:
    """Wait until the change is done, or refused, and say what there is now."""
    # `run`: a daemon that has restarted must not answer for another change of the same number.
    change = {"change": begun["change"], "run": begun["run"]}
    pause = POLL_SECONDS
    deadline = time.perf_counter() + CHANGE_SECONDS_MAX
    while (now := ask(target, "export-change", **change))["state"] == "applying":
        if time.perf_counter() >= deadline:
            fail(
                f"the change has begun and is not done within {CHANGE_SECONDS_MAX:g} s: {slow}; the log will show the result,"
                " and `ramsterctl exports` shows which exports there are"
            )
        time.sleep(pause)
        pause = min(2 * pause, POLL_SECONDS_MAX)
    show(now, output, format_change)
    warn(now["warnings"])


def format_change(now: dict[str, Any]) -> str:
    """Return what there is after a change."""
    already = "" if now["is_changed"] else " already"
    export = now["export"]
    if export is None:
        return f"export {now['name']} is removed{already}"
    size = human_bytes(export["size_bytes"])
    if now["state"] != "added":
        done = f"is resized{already}"
    else:
        done = "is there" if now["is_changed"] else "exists already"
    return f"export {now['name']} {done}: {size}, {export['state']}"
