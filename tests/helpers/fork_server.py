"""A process in which all modules are imported already, and which forks: a daemon or a command starts in a tenth of the time.

Two thirds of the processor time of a short test of daemons is imports, the same ones each time.  A fork
of this process has them; all else is as after `exec`: arguments, environment, standard files, folder,
signals, and an end of its own.  `tests.helpers.programs` asks it for programs, and for how they ended.
"""

import atexit
import codecs
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ORDER_BYTES_MAX: Final = 200_000
DESCRIPTORS_MAX: Final = 64
PACKAGES: Final = ("config", "heartbeat", "net", "nodemanager", "ramsterd")
# They begin to run when they are imported.
SCRIPTS: Final = ".__main__"
FIRST_PASSED: Final = 3
# Where ip(8) keeps those that have a name; <linux/sched.h>
NETWORKS: Final = Path("/run/netns")
CLONE_NEWNET: Final = 0x40000000


def import_all() -> None:
    """Import what any program of ours imports."""
    gc.disable()
    for package in PACKAGES:
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, f"{package}."
        ):
            if not module.name.endswith(SCRIPTS):
                importlib.import_module(module.name)
    gc.enable()


def fill_caches() -> None:
    """Have types of a snapshot, and how names of hosts are written, looked up once, and not by each daemon."""
    codecs.lookup("idna")
    to_plain = importlib.import_module("ramsterd.observe.snapshot").to_plain
    made = importlib.import_module("tests.helpers.made_statistics").made_statistics()
    to_plain(made, {})


def serve(orders: socket.socket) -> Callable[[], None] | None:
    """Fork and tell of ends, until the other end is closed.

    Returns:
        In a fork what is to run in it; None: the server itself ends.
    """
    while True:
        message, fds, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, DESCRIPTORS_MAX)
        if not message:
            return None
        order = json.loads(message)
        if (pid := order.get("wait")) is not None:
            orders.send(json.dumps(os.waitpid(pid, os.WNOHANG)).encode())
            continue
        if (pid := os.fork()) == 0:
            orders.close()  # its number may be wanted
            return prepare(order, fds)
        for fd in fds:
            os.close(fd)
        orders.send(json.dumps(pid).encode())


def prepare(order: Any, fds: list[int]) -> Callable[[], None]:
    """Make this fork the process that was asked for; return its `main`."""
    for number, fd in enumerate(fds[:FIRST_PASSED]):
        os.dup2(fd, number)
    environment = dict(order["environment"])
    if (names := order["listen"]) is not None:
        environment |= listen(fds[FIRST_PASSED:], names)
    os.closerange(FIRST_PASSED + len(names or ()), max(fds) + 1)
    os.environ.clear()
    os.environ.update(environment)
    if (network := order["network"]) is not None:
        enter(network)
    os.chdir(order["folder"])
    if order["is_leader"]:
        os.setsid()
    if order["heeds_interrupts"]:
        # What an interpreter begins with that has them.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.orig_argv[:] = order["command"]
    sys.argv[:] = order["command"][2:]
    sys.argv[0] = "-c"
    exec(order["statements"], {})  # noqa: S102  of a test
    main: Callable[[], None] = importlib.import_module(order["module"]).main
    return main


def enter(network: str) -> None:
    """Enter a network namespace, as `ip netns exec` does; /sys stays that of our own."""
    with NETWORKS.joinpath(network).open() as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"can't enter {network}")


def listen(fds: list[int], names: list[str]) -> dict[str, str]:
    """Put what a service manager passes where it does; return what it says of it.

    None is below its place: the standard ones were received before them.
    """
    for number, fd in enumerate(fds, FIRST_PASSED):
        os.dup2(fd, number)
    return {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(fds)),
        "LISTEN_FDNAMES": ":".join(names),
    }


def run_to_end(run: Callable[[], None]) -> None:
    """Run what a fork is for, and end as an interpreter does, but for taking all that it has apart.

    That touches all memory, which is then copied from the server, page by page: three quarters of what a
    command costs.  Whatever is out of the ordinary is left to the interpreter.
    """
    status: object = None
    try:
        run()
    except SystemExit as end:
        status = end.code
    if status is not None and not isinstance(status, int):
        raise SystemExit(status)
    threading._shutdown()  # type: ignore[attr-defined]  # not in its stub
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        raise SystemExit(status) from None
    os._exit(status or 0)


def main() -> None:
    """Serve the socket that is our standard input."""
    # As for `-c`: not the folder of this file.
    sys.path[0] = ""
    import_all()
    fill_caches()
    assert threading.active_count() == 1, "a fork has one thread"
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as orders:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.close(nothing)
        run = serve(orders)
    if run is not None:
        run_to_end(run)


if __name__ == "__main__":
    main()
