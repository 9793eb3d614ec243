"""`ramsterctl nbd attach`, `detach` and `list`: exports as devices of the kernel's nbd."""

import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import click

from config.units import human_bytes
from net.backoff import Backoff
from ramsterd.attach.attachment import Attachment, Level, Plan
from ramsterd.attach.devices import BadDevice, Devices, parse_device
from ramsterd.attach.dialing import Server
from ramsterd.attach.helper import Console, Helper, Timeouts
from ramsterd.attach.kernel import (
    HostNetlink,
    KernelRefused,
    KernelSilent,
    NbdKernel,
    NoNbdModule,
)
from ramsterd.attach.lock import HelperLock, Locked, helper_of
from ramsterd.attach.words import (
    NO_MODULE,
    NO_NETLINK,
    helper_exists,
    identifier_of,
    why_refused,
)
from ramsterd.cli.columns import Column, format_table
from ramsterd.cli.nbd_swap import refuse_unsafe_swap
from ramsterd.cli.options import CONFIG_OPTION
from ramsterd.cli.output import OUTPUT_OPTION, Output, fail, show
from ramsterd.host.protection import (
    lock_from_now_on,
    lock_program,
    set_io_flusher,
    spare_from_oom_killer,
)

RETRY_SECONDS_MAX: Final = 2.0
# How long a detach waits for the helper to end its device.
DETACH_SECONDS_MAX: Final = 30.0
POLL_SECONDS: Final = 0.05
STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@click.group("nbd")
def nbd_group() -> None:
    """Use exports as devices of this machine's kernel (its nbd module)."""


@nbd_group.command("attach")
@click.argument("export")
@click.argument("device")
@click.option(
    "--server",
    default="/run/ramster/nbd.sock",
    show_default=True,
    help="The NBD socket of ramsterd, or ADDRESS:PORT.",
)
@click.option(
    "--dead-conn-timeout",
    type=click.IntRange(1, 86_400),
    default=300,
    show_default=True,
    help="Seconds for which requests wait for a new connection, before they fail with an I/O error.",
)
@click.option(
    "--timeout",
    type=click.IntRange(0, 86_400),
    default=0,
    show_default=True,
    help="Seconds after which the kernel gives up the connection of a request without an answer; 0: never.",
)
@click.option(
    "--resend-after",
    type=click.FloatRange(0.1, 600),
    default=5.0,
    show_default=True,
    help="Seconds after which a request that was in flight on a dead connection is sent again on the new one.",
)
@click.option(
    "--no-lock",
    is_flag=True,
    help="Attach although this helper can't lock its memory.  Never for swap.",
)
@CONFIG_OPTION
@click.option(
    "--force",
    is_flag=True,
    help="Attach an export for swap of this machine's own ramsterd although `ramsterctl doctor --swap` finds errors.",
)
def attach(
    export: str,
    device: str,
    server: str,
    dead_conn_timeout: int,
    timeout: int,
    resend_after: float,
    no_lock: bool,
    config: Path,
    force: bool,
) -> None:
    """Attach EXPORT as DEVICE (such as /dev/nbd0), and stay to keep it attached.

    When the connection ends, requests wait, and the helper connects again.  It hands over only an
    export that agrees with the one before.  SIGTERM detaches the device, unless somebody uses it:
    then it stays, and the next helper takes it over.  Run it as a service:
    systemd/ramster-nbd@.service.

    An export with swap = true of this machine's own ramsterd is refused while
    `ramsterctl doctor --swap --own-host` finds errors: this machine could hang.
    """
    index, name = _device(device)
    try:
        endpoint = Server(server)
    except ValueError as error:
        fail(
            f"--server: found {server!r}, expected a path such as /run/ramster/nbd.sock, or {error}"
        )
    console = Console(sys.stderr.fileno(), os.environ)
    identifier = identifier_of(export, server)
    devices = Devices()
    rng = random.Random()  # noqa: S311  jitter
    try:
        with HelperLock(name), _kernel() as kernel:
            _protect(console.say, needs_lock=not no_lock)
            # One that was attached to the same by a helper that has ended.
            is_ours = devices.identifier(index) == identifier and devices.size(index) > 0
            if not is_ours:
                refuse_unsafe_swap(name, export, server, config, console.say, force=force)
            helper = Helper(
                Attachment(
                    Plan(
                        device=name,
                        export=export,
                        server=server,
                        dead_connection_seconds=dead_conn_timeout,
                    ),
                    Backoff(rng, most_seconds=RETRY_SECONDS_MAX),
                    devices.size(index) if is_ours else None,
                ),
                kernel,
                devices,
                endpoint,
                console.say,
                index=index,
                identifier=identifier,
                timeouts=Timeouts(
                    dead_connection=dead_conn_timeout, request=timeout, resend=resend_after
                ),
                environ=os.environ,
            )
            for number in STOPPING:
                signal.signal(number, lambda *_: helper.stop())
            # What is here stays, and nothing later makes so much garbage that it must be looked
            # for.
            gc.freeze()
            status = helper.run()
    except Locked as error:
        fail(helper_exists(name, error.process))
    except OSError as error:
        fail(f"{name}: {error}")
    sys.exit(status)


@nbd_group.command("detach")
@click.argument("device")
def detach(device: str) -> None:
    """Detach DEVICE, and end its helper.  Refused while it is swap, or mounted."""
    index, name = _device(device)
    with _kernel() as kernel:
        if not _is_configured(kernel, index):
            fail(f"{name}: it is not attached; `ramsterctl nbd list` shows what is")
        if users := Devices().users(index):
            fail(f"{name}: it is used by {', '.join(users)}; turn swap off or unmount it first")
        helper = helper_of(name)
        try:
            if helper is None:
                kernel.disconnect(index)
            else:
                os.kill(helper, signal.SIGTERM)
        except KernelRefused as error:
            fail(f"{name}: {why_refused(error.errno, device=name)}")
        except PermissionError:
            fail(f"{name}: its helper is process {helper} of another user; run as root")
        for _ in range(round(DETACH_SECONDS_MAX / POLL_SECONDS)):
            if not _is_configured(kernel, index):
                click.echo(f"{name} is detached")
                return
            time.sleep(POLL_SECONDS)
    fail(
        f"{name}: it is still attached after {DETACH_SECONDS_MAX:g} s; another program has it open"
    )


@nbd_group.command("list")
@OUTPUT_OPTION
def list_devices(output: Output) -> None:
    """Show the devices that are attached, by whom, and what uses them."""
    devices = Devices()
    with _kernel() as kernel:
        try:
            configured = [each.index for each in kernel.devices() if each.is_configured]
        except (KernelRefused, KernelSilent) as error:
            fail(f"the kernel does not list its devices: {error}")
    rows: list[dict[str, object]] = [
        {
            "device": f"nbd{index}",
            "size_bytes": devices.size(index),
            "attached_to": devices.identifier(index),
            "helper": helper_of(f"nbd{index}"),
            "users": devices.users(index),
        }
        for index in sorted(configured)
    ]
    show(rows, output, format_devices)


DEVICE_COLUMNS: Final = (
    Column("DEVICE", lambda row: row["device"]),
    Column("SIZE", lambda row: human_bytes(row["size_bytes"]), is_right=True),
    Column("HELPER", lambda row: str(row["helper"] or "none"), is_right=True),
    Column("ATTACHED TO", lambda row: row["attached_to"] or "-"),
    Column("USED BY", lambda row: ", ".join(row["users"]) or "-"),
)


def format_devices(rows: list[dict[str, object]]) -> str:
    """Return one line a device."""
    return format_table(DEVICE_COLUMNS, rows)


def _device(text: str) -> tuple[int, str]:
    try:
        index = parse_device(text)
    except BadDevice as error:
        fail(str(error))
    return index, f"nbd{index}"


def _kernel() -> NbdKernel:
    """Return the kernel's nbd, or end with one line that says why there is none."""
    try:
        return NbdKernel(HostNetlink())
    except NoNbdModule:
        fail(NO_MODULE)
    except (KernelRefused, KernelSilent) as error:
        fail(f"the kernel does not say whether it has nbd: {error}")
    except OSError as error:
        fail(f"{NO_NETLINK}: {error.strerror or error}")


def _is_configured(kernel: NbdKernel, index: int) -> bool:
    try:
        return kernel.is_configured(index)
    except (KernelRefused, KernelSilent) as error:
        fail(f"the kernel does not list its devices: {error}")


def _protect(say: Callable[[Level, str], None], *, needs_lock: bool) -> None:
    """Keep this process going while memory is short; end it, or warn, if that can't be had."""
    try:
        lock_program()
        lock_from_now_on()
    except OSError as error:
        text = f"can't lock the memory of this helper: {error.strerror}"
        if needs_lock:
            fail(
                f"{text}; run as root, or with `ulimit -l unlimited` (LimitMEMLOCK=infinity)."
                " --no-lock does without, for disks that are no swap"
            )
        say(Level.WARNING, text)
    for protect, what in (
        (partial(set_io_flusher, is_one=True), "mark this helper as one that I/O waits for"),
        (spare_from_oom_killer, "spare this helper from the OOM killer"),
    ):
        try:
            protect()
        except OSError as error:
            say(Level.WARNING, f"can't {what}: {error.strerror}")
