"""Write a file so that a reader finds the old text or the new, whatever happens: the only way files are replaced."""

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from config.errors import ConfigError
from config.host import is_mount_point, own_user
from config.limits import CONFIG_FILE_BYTES_MAX
from config.model import ClusterConfig
from config.rewrite import rewrite_members

_ANY_WRITE: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def save_members(path: Path, cluster: ClusterConfig) -> None:
    """Write the members of a cluster and their version into its file, and leave the rest of the text alone.

    Raises:
        ConfigError: It can't be written, or its layout does not allow it; the file is as it was.
    """
    file = str(path)
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file, "", f"no text ({error})", "a readable TOML file") from None
    save_text(path, rewrite_members(text, cluster, file=file))


def save_text(path: Path, text: str) -> None:
    """Replace the text of a file: temp file beside it, fsync, rename, fsync of the folder.

    Mode and owner stay; a symbolic link stays one and its target is replaced.  Blocks for as long
    as the disk takes.

    Raises:
        ConfigError: It can't be written; the old file is as it was.
    """
    data = text.encode()
    if len(data) > CONFIG_FILE_BYTES_MAX:
        expected = f"at most {CONFIG_FILE_BYTES_MAX} bytes of TOML"
        raise ConfigError(str(path), "", f"{len(data)} bytes to write", expected)
    target, status = check_writable(path)
    try:
        owner = (status.st_uid, status.st_gid)
        replace_file(target, data, mode=stat.S_IMODE(status.st_mode), owner=owner)
    except OSError as error:
        raise _not_replaced(path, error) from None


def check_writable(path: Path) -> tuple[Path, os.stat_result]:
    """Return the file itself and how it is; nothing is written, so a full disk is not found.

    Raises:
        ConfigError: It is not there, or we may not replace it.
    """
    try:
        target = path.resolve(strict=True)
        status = target.stat()
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _not_replaced(path, error) from None
    if is_mount_point(target):
        # The kernel refuses to rename over it (EBUSY); to write into it would leave half a file at
        # a crash.
        expected = "a file that can be replaced in its folder: mount the whole folder instead"
        raise ConfigError(str(path), "", "a mount of one file", expected)
    if not status.st_mode & _ANY_WRITE:
        # A rename would not ask; an operator who took away every right to write meant it.
        raise ConfigError(str(path), "", "a read-only file", "a file that may be written")
    return target, status


def check_room(path: Path) -> None:
    """See whether the disk of a file has room for a new one of its size.

    Nothing is written.  Unlike `check_writable` this asks the file system how it is, which may
    block.

    Raises:
        ConfigError: The disk is full.  What can't be asked counts as having room.
    """
    try:
        target = path.resolve(strict=True)
        needed_bytes = target.stat().st_size
        found = os.statvfs(target.parent)
    except OSError:
        return
    free_blocks = found.f_bavail if os.geteuid() else found.f_bfree
    # A file system that does not count blocks, or files, says 0.
    is_full = bool(found.f_blocks) and free_blocks * found.f_frsize < needed_bytes
    has_no_file_left = bool(found.f_files) and not found.f_favail
    if is_full or has_no_file_left:
        raise _not_replaced(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _not_replaced(path: Path, error: OSError) -> ConfigError:
    found = (error.strerror or type(error).__name__).lower()
    expected = "a file that can be replaced in its folder"
    if error.errno == errno.EDQUOT:
        # No file system says so before a write meets it.
        user = own_user().name
        expected = f"room in the quota of user {user}: `quota -s -u {user}` shows it"
    if error.errno == errno.EPERM:
        # Only root may make a file of another user.
        folder = path.parent
        expected = f"a file of the user of the daemon: type `chown --reference={folder} {path}`"
    return ConfigError(str(path), "", found, expected)


def replace_file(
    target: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None = None
) -> None:
    """Replace or make a file: temp file beside it, fsync, rename, fsync of the folder.

    Blocks for as long as the disk takes.

    Args:
        target: The file itself, no symbolic link.
        data: All that it shall hold.
        mode: Its permissions.
        owner: User and group; None: those of this process.

    Raises:
        OSError: It can't be written; the old file is as it was, unless only the fsync of the folder
            failed.
    """
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(data)
            stream.flush()
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(number, *owner)
            os.fchmod(number, mode)
            os.fsync(number)
        os.rename(name, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
