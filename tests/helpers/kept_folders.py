"""A folder on a tmpfs, where daemons of a test keep their memory from one process to the next."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SHM = Path("/dev/shm")


@contextmanager
def kept_folder() -> Iterator[Path]:
    """Yield an empty folder; the test is skipped where there is no tmpfs that we may write to."""
    if not os.access(_SHM, os.W_OK):
        pytest.skip(f"needs a tmpfs at {_SHM} that we may write to")
    with tempfile.TemporaryDirectory(prefix="ramster-test-", dir=_SHM) as folder:
        yield Path(folder)


def keep_in(config: Path, folder: Path) -> None:
    """Have a ramsterd.toml say that memory is kept in a folder."""
    text = config.read_text()
    kept = text.replace("[memory]\n", f'[memory]\nkeep = "{folder}"\n')
    assert kept != text
    config.write_text(kept)
