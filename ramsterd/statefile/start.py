"""What happens to a state file before a daemon serves: it is found and read, or replaced by hand."""

import logging
import os
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from config.errors import ConfigError
from ramsterd.statefile.content import Content, DamagedState, Key, Record
from ramsterd.statefile.folder import FILE_NAME, StateFolder, read_state
from ramsterd.statefile.keeper import StateKeeper
from ramsterd.statefile.marks import Marks

logger = logging.getLogger("ramster.state")

GENERATION_BYTES: Final = 16
ASIDE_SUFFIX: Final = ".aside"


def open_state(path: Path | None, *, file: str, started_at: int) -> StateKeeper:
    """Lock the state folder and read what the last run noted.

    Args:
        path: `state_dir`; None: nothing is kept.
        file: The config file, for messages.
        started_at: Now, in seconds since 1970.

    Raises:
        StateFolderTaken: Another daemon uses it.
        ConfigError: The folder or what is in it is of no use.
    """
    folder = None if path is None else open_folder(path, file=file)
    if folder is not None and not folder.file.exists():
        logger.info("no state file %s: every export and pool starts blank", folder.file)
    try:
        content = Content() if folder is None else read_content(folder.file)
    except ConfigError:
        assert folder is not None
        folder.close()
        raise
    marks = Marks(content, new_generation=new_generation, started_at=started_at)
    return StateKeeper(marks, folder)


def new_generation() -> str:
    """Return the name of a new filling."""
    return secrets.token_hex(GENERATION_BYTES)


def open_folder(path: Path, *, file: str) -> StateFolder:
    """Lock the state folder.

    Raises:
        StateFolderTaken: Another daemon uses it.
        ConfigError: It can't be made or used.
    """
    try:
        return StateFolder(path)
    except OSError as error:
        found = f"'{path}' ({(error.strerror or type(error).__name__).lower()})"
        expected = "a folder that this user may write to"
        expected += (
            ", not a file: move the file away, or name another folder"
            if path.is_file()
            else f": make it, as in `install -d -o USER -m 700 {path}`"
        )
        raise ConfigError(file, "state_dir", found, expected) from None


def read_content(state_file: Path) -> Content:
    """Return what the last run noted.

    Raises:
        ConfigError: The file is damaged or can't be read: then nobody knows which exports are
            blank.
    """
    try:
        return read_state(state_file)
    except DamagedState as error:
        found = f"a damaged state file ({error})"
    except OSError as error:
        found = f"a state file that can't be read ({(error.strerror or str(error)).lower()})"
    expected = "the file that ramsterd wrote; `ramsterd reset-state` sets it aside and calls every export lost"
    raise ConfigError(str(state_file), "", found, expected)


def check_state(path: Path | None) -> None:
    """Raise ConfigError for a state file that would keep a daemon from starting.

    The folder need not be there yet.
    """
    if path is not None and os.access(path / FILE_NAME, os.R_OK):
        read_content(path / FILE_NAME)


def rewrite_state(
    path: Path | None, exports: Iterable[str], *, file: str, lost_at: int
) -> Path | None:
    """Write a new state file, by which all these exports are lost.

    Return where the old one is, if there was one.

    Of a file that is whole after all, what it says of pools, of other exports and of incarnations
    is kept.

    Raises:
        StateFolderTaken: A daemon uses it.
        ConfigError: There is no folder, or it is of no use.
    """
    if path is None:
        raise ConfigError(file, "state_dir", '""', "a folder")
    folder = open_folder(path, file=file)
    aside = folder.file.with_name(folder.file.name + ASIDE_SUFFIX)
    has_old = folder.file.exists()
    old = _readable(folder.file)
    records: dict[Key, Record] = {
        key: replace(record, lost_at=record.lost_at or lost_at)
        for key, record in old.records.items()
    }
    for name in exports:
        records.setdefault(name, Record(new_generation(), lost_at))
    try:
        if has_old:
            # The old file stays in its place until the new one takes it: without one all would be
            # blank.
            aside.unlink(missing_ok=True)
            os.link(folder.file, aside)
        folder.write(replace(old, records=records), 1)
    except OSError as error:
        found = f"a folder that can't be written to ({(error.strerror or str(error)).lower()})"
        raise ConfigError(str(path), "", found, "a folder for the state file") from None
    finally:
        folder.close()
    return aside if has_old else None


def _readable(file: Path) -> Content:
    """Return what a state file says, if it is whole; of any other nobody knows anything."""
    try:
        return read_state(file)
    except (DamagedState, OSError):
        return Content()
