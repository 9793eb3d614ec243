"""A folder on a tmpfs keeps the mappings, one file each: for containers, and machines without systemd.

The folder is ours alone and locked: two daemons that start at once would make it twice.  It must be
memory: on a disk, pages would wait for it, and a reboot would bring them back.
"""

import ctypes
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from ramsterd.kept.keepers.keeper import KeeperRefused, MemoryTaken
from ramsterd.kept.layout import SUPER

# <linux/magic.h>
_TMPFS_MAGIC: Final = 0x01021994
_STATFS_BYTES: Final = 256  # struct statfs has 120 at most
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_NOT_OTHERS: Final = 0o077
_STAT_BLOCK_BYTES: Final = 512
_SUFFIX: Final = ".memory"
_MIB: Final = 1024 * 1024

_fstatfs = ctypes.CDLL(None, use_errno=True).fstatfs
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)


class TmpfsKeeper:
    """See the module's text."""

    outlives_stop = True
    to_discard = "`ramsterd run --discard-memory`"
    needs_reserve = True
    has_paths = True

    def __init__(self, path: Path, *, bytes_wanted: int) -> None:
        """Open the folder, made if only it is missing, and lock it.

        Args:
            path: The folder.
            bytes_wanted: What all mappings may take together once they are full.

        Raises:
            KeeperRefused: It can't keep memory.
            MemoryTaken: Another daemon uses it.
        """
        self.description = str(path)
        self.warning = ""
        self._path = path
        self._folder = self._open_folder()
        try:
            self._check(bytes_wanted)
        except BaseException:
            os.close(self._folder)
            raise

    def _open_folder(self) -> int:
        try:
            self._path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(self._path, flags)
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP, errno.EEXIST}:
                raise KeeperRefused(
                    f"{self._path} is no folder, or a link to one: name the folder itself"
                ) from None
            raise self._refused("can't be used", error) from None

    def _check(self, bytes_wanted: int) -> None:
        _check_ours(f"{self._path}", os.fstat(self._folder))
        if _file_system(self._folder) != _TMPFS_MAGIC:
            raise KeeperRefused(
                f"{self._path} is not on a tmpfs, so pages would be written to a disk: mount a tmpfs there"
            )
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MemoryTaken(
                f"{self._path}: another ramsterd uses this folder: stop it, or give each a folder of its own"
            ) from None
        free_bytes = self._free_bytes()
        if free_bytes >= bytes_wanted:
            return
        no_room = (
            f"{self._path} has room for {free_bytes // _MIB} MiB, and budget and tables may take"
            f" {-(-bytes_wanted // _MIB)} MiB"
        )
        if SUPER + _SUFFIX not in self._files():
            raise KeeperRefused(f"{no_room}: mount a tmpfs with a larger size")
        # Others fill it.  The pages that are here are whole, and what finds no room is refused.
        self.warning = f"{no_room}: remove what others have there, or mount it with a larger size"

    def _free_bytes(self) -> int:
        """Return what is free, and what our files have of it already."""
        found = os.fstatvfs(self._folder)
        ours = sum(
            os.stat(file, dir_fd=self._folder, follow_symlinks=False).st_blocks
            for file in self._files()
        )
        return found.f_bavail * found.f_frsize + ours * _STAT_BLOCK_BYTES

    def _files(self) -> list[str]:
        return sorted(file for file in os.listdir(self._folder) if file.endswith(_SUFFIX))

    def take(self) -> dict[str, int]:
        """Return the files that are there."""
        taken: dict[str, int] = {}
        try:
            for file in self._files():
                taken[file.removesuffix(_SUFFIX)] = self._open(file)
        except BaseException:
            for fd in taken.values():
                os.close(fd)
            raise
        return taken

    def _open(self, file: str) -> int:
        """Open a file that is there, if only we have it."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(file, flags, dir_fd=self._folder)
        except OSError as error:
            raise self._refused(f"has {file}, which can't be opened", error) from None
        try:
            _check_file(f"{self._path / file}", os.fstat(fd))
        except KeeperRefused:
            os.close(fd)
            raise
        return fd

    def make(self, name: str, length: int) -> int:
        """Return a new file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name + _SUFFIX, flags, _FILE_MODE, dir_fd=self._folder)
        except FileExistsError:
            raise MemoryTaken(f"{self._path}: {name}{_SUFFIX} is there already") from None
        except OSError as error:
            raise self._refused("can't be written to", error) from None
        try:
            os.ftruncate(fd, length)
        except OSError as error:
            os.close(fd)
            raise self._refused(f"can't have {length} bytes of {name}", error) from None
        return fd

    def discard(self) -> None:
        """Remove our files, and no other."""
        try:
            for file in self._files():
                os.unlink(file, dir_fd=self._folder)
        except OSError as error:
            raise self._refused("can't be emptied", error) from None

    def finish(self) -> None:
        """A file is kept from the moment that it is made."""

    def close(self) -> None:
        """Unlock the folder."""
        os.close(self._folder)

    def _refused(self, what: str, error: OSError) -> KeeperRefused:
        return _refused(self._path, what, error)


def read_file(folder: Path, name: str, length: int) -> bytes:
    """Return the first bytes of a file that a folder keeps, without a lock; none if there is no such file.

    Raises:
        KeeperRefused: It can't be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(folder / (name + _SUFFIX), flags)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise _refused(folder, f"has {name}{_SUFFIX}, which can't be opened", error) from None
    try:
        return os.pread(fd, length, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def _refused(path: Path, what: str, error: OSError) -> KeeperRefused:
    reason = (error.strerror or str(error)).lower()
    return KeeperRefused(f"{path} {what}: {reason}")


def _check_ours(path: str, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise KeeperRefused(
            f"{path} belongs to user {found.st_uid}, and not to {os.geteuid()}, who runs this ramsterd: type"
            f" `chown {os.geteuid()} {path}`"
        )
    if found.st_mode & _NOT_OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise KeeperRefused(
            f"{path} has mode {mode:04o}, and nobody else may have a right to it: type `chmod go-rwx {path}`"
        )


def _check_file(path: str, found: os.stat_result) -> None:
    _check_ours(path, found)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise KeeperRefused(f"{path} is no file that only we have")


def _file_system(fd: int) -> int:
    """Return the magic number of the file system that a file is on (statfs(2))."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _fstatfs(fd, found):
        number = ctypes.get_errno()
        raise KeeperRefused(f"can't tell which file system that is: {os.strerror(number)}")
    return ctypes.c_long.from_buffer(found).value
