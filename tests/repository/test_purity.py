"""What the contract of pure rooms can't see: a path is a value as long as nobody opens it, a date as long as nobody asks for today's."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.docs.pages import ROOT

MARK: Final = "# Paths and dates as values"
# Methods of `Path` that ask the file system, and of `datetime` that ask the clock.
ASKING: Final = {
    "absolute", "chmod", "cwd", "exists", "expanduser", "glob", "hardlink_to", "home", "is_block_device",
    "is_char_device", "is_dir", "is_fifo", "is_file", "is_mount", "is_socket", "is_symlink", "iterdir", "lchmod", "lstat",
    "mkdir", "open", "owner", "read_bytes", "read_text", "readlink", "resolve", "rglob", "rmdir", "samefile", "stat",
    "symlink_to", "touch", "unlink", "write_bytes", "write_text",
    "now", "today", "utcnow",
}  # fmt: skip


def modules_with_values() -> list[str]:
    text = (ROOT / "pyproject.toml").read_text()
    section = text[text.index(MARK) :]
    return sorted(
        set(re.findall(r'"([\w.]+) -> (?:pathlib|datetime)"', section[: section.index("]")]))
    )


def asked(source: str) -> Iterator[str]:
    """Yield the calls of a module that ask the file system or the clock."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in ASKING:
                yield ast.unparse(node.func)
            case ast.Call(func=ast.Name(id="open")):
                yield "open"
            case _:
                pass


@pytest.mark.parametrize("module", modules_with_values())
def test_a_module_that_has_paths_as_values_touches_no_file(module: str) -> None:
    path = ROOT / (module.replace(".", "/") + ".py")
    assert list(asked(path.read_text())) == []


def test_files_that_are_asked_for_are_found() -> None:
    source = (
        "def f(path):\n    path.exists()\n    open(path)\n    datetime.now()\n    path.parent\n"
    )
    assert list(asked(source)) == ["path.exists", "open", "datetime.now"]
