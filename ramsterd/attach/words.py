"""What an operator is told when the kernel says no, and what to type then.  Pure."""

import errno
from typing import Final

NO_MODULE: Final = (
    "this kernel has no nbd, or has not loaded it; type `modprobe nbd`."
    " Where that finds no module, this kernel was built without one"
)
NO_NETLINK: Final = "this kernel has no generic netlink, so its nbd can't be reached"
_IN_USE_BY_HELPER: Final = "another helper attaches it already"


def why_refused(number: int, *, device: str, identifier: str = "") -> str:
    """Return why the kernel refused an order, for an errno.

    `identifier` is what the device is attached to.
    """
    match number:
        case errno.EPERM | errno.EACCES:
            return "the kernel lets only CAP_SYS_ADMIN attach devices; run as root, outside of containers"
        case errno.EBUSY:
            by = f" to {identifier}" if identifier else ", perhaps by nbd-client or qemu-nbd"
            return f"it is attached already{by}; `ramsterctl nbd detach /dev/{device}` first, or take another device"
        case errno.EINVAL:
            return "the kernel refuses it (EINVAL); the last lines of `dmesg` say why"
        case _:
            name = errno.errorcode.get(number, str(number))
            return f"the kernel refuses it ({name}); the last lines of `dmesg` may say why"


def helper_exists(device: str, process: int) -> str:
    """Return why there is no second helper for a device."""
    return f"{device}: {_IN_USE_BY_HELPER}: process {process}"


def attached_to(identifier: str) -> tuple[str, str] | None:
    """Return export and server of what `identifier_of` made; None: another program attached the device."""
    program, _, rest = identifier.partition(" ")
    export, of, server = rest.partition(" of ")
    return (export, server) if program == "ramster" and of else None


def identifier_of(export: str, server: str) -> str:
    """Return what the kernel is told that a device is: only who says the same may reconfigure it."""
    return f"ramster {export} of {server}"
