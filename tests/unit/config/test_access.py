"""Rights by mode, owner and groups, as the kernel has them, judged for somebody else."""

from pathlib import Path

import pytest

from config.access import ENTER, READ, WRITE, may, why_not
from config.facts import Place, PlaceType, User

RAMSTER = User(name="ramster", uid=990, groups=frozenset({980, 981}))
ROOT = User(name="root", uid=0)


def place(
    mode: int,
    uid: int = 0,
    gid: int = 0,
    *,
    path: str = "/etc/ramster",
    type: PlaceType = PlaceType.FOLDER,  # noqa: A002  the field's name
    is_read_only: bool = False,
) -> Place:
    return Place(
        path=Path(path),
        type=type,
        mode=mode,
        uid=uid,
        gid=gid,
        owner=f"u{uid}:g{gid}",
        is_read_only=is_read_only,
    )


def file(mode: int, uid: int = 0, gid: int = 0) -> Place:
    return place(mode, uid, gid, path="/etc/ramster/node.key", type=PlaceType.FILE)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "want", "is_allowed"),
    [
        (0o600, 990, 0, READ, True),
        (0o600, 0, 0, READ, False),
        (0o640, 0, 981, READ, True),
        (0o640, 0, 982, READ, False),
        (0o604, 0, 0, READ, True),
        # The first class that fits decides, though others might.
        (0o044, 990, 980, READ, False),
        (0o604, 0, 980, READ, False),
        (0o755, 0, 0, ENTER, True),
        (0o755, 0, 0, WRITE | ENTER, False),
        (0o300, 990, 0, WRITE | ENTER, True),
        (0o200, 990, 0, WRITE | ENTER, False),
    ],
)
def test_the_first_class_that_fits_decides(
    mode: int, uid: int, gid: int, want: int, is_allowed: bool
) -> None:
    assert may(RAMSTER, place(mode, uid, gid), want) is is_allowed
    assert may(ROOT, place(mode, uid, gid), want)


def test_a_read_only_file_system_stops_root_too() -> None:
    assert not may(ROOT, place(0o755, is_read_only=True), WRITE | ENTER)
    assert may(ROOT, place(0o755, is_read_only=True), READ)
    assert why_not(ROOT, [place(0o755, is_read_only=True)], WRITE | ENTER) == (
        "folder /etc/ramster (read-only file system), which user root can't write to"
    )


def test_each_folder_on_the_way_must_let_the_user_in() -> None:
    top, closed = place(0o755, path="/"), place(0o750)
    assert why_not(RAMSTER, [top, place(0o755), file(0o644)], READ) is None
    assert why_not(RAMSTER, [top, closed, file(0o644)], READ) == (
        "folder /etc/ramster (u0:g0, mode 0750), which user ramster can't enter"
    )
    assert why_not(RAMSTER, [top, place(0o755), file(0o600)], READ) == (
        "/etc/ramster/node.key (u0:g0, mode 0600), which user ramster can't read"
    )


@pytest.mark.parametrize("kind", [PlaceType.MISSING, PlaceType.UNKNOWN])
def test_nothing_is_said_of_what_is_not_known(kind: PlaceType) -> None:
    assert why_not(RAMSTER, [place(0o755), place(0, type=kind)], READ) is None
