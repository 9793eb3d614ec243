from pathlib import Path

import pytest

from heartbeat.key import BadKeyFile, read_key

KEY = bytes(range(32))


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("content", [KEY, KEY.hex().encode(), KEY.hex().encode() + b"\n"])
def test_a_key_is_raw_or_hexadecimal(tmp_path: Path, content: bytes) -> None:
    assert read_key(key_file(tmp_path, content)) == KEY


@pytest.mark.parametrize("content", [b"", KEY[:-1], KEY + b"x", b"g" * 64, b"0" * 66])
def test_anything_else_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadKeyFile, match=f"key: {len(content)} bytes, not 64 hexadecimal digits"):
        read_key(key_file(tmp_path, content))


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadKeyFile, match="mode 0640, not 0600"):
        read_key(key_file(tmp_path, KEY, 0o640))


def test_a_missing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadKeyFile, match="No such file"):
        read_key(tmp_path / "none")
