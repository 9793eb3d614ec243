"""A test stands where its module stands, and what tests share is no test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "tests" / "unit"
PACKAGES = ("config", "heartbeat", "net", "nodemanager", "ramsterd")
# An import statement as it is written, with all its lines.
IMPORT = re.compile(r"^ *(?:from|import) [^(\n]*(?:\([^)]*\))?", re.MULTILINE)


def rooms_of_modules() -> Iterator[tuple[str, Path]]:
    """Yield the name of each module, and the folder of `tests/unit` for it: `ramsterd` has none of its own there."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            room = path.parent.relative_to(ROOT)
            yield path.stem, room.relative_to(package) if package == "ramsterd" else room


def unit_files() -> list[Path]:
    return sorted(path.relative_to(UNIT) for path in UNIT.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_test_file_of_a_module_stands_in_the_room_of_the_module() -> None:
    rooms: dict[str, set[Path]] = {}
    for name, room in rooms_of_modules():
        rooms.setdefault(f"test_{name}", set()).add(room)
    for path in unit_files():
        assert path.parent in rooms.get(path.stem, {path.parent}), path


def test_each_folder_of_unit_tests_is_a_room() -> None:
    rooms = {room for _, room in rooms_of_modules()}
    assert {path.parent for path in unit_files()} <= rooms


def test_what_tests_share_is_in_the_folders_of_helpers_and_fakes() -> None:
    assert all(path.stem.startswith("test_") or path.stem == "conftest" for path in unit_files())


def test_no_test_module_is_imported() -> None:
    tests = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    for path in (ROOT / "tests").rglob("*.py"):
        # To parse all files takes seconds.
        if any("test_" in each for each in IMPORT.findall(path.read_text())):
            assert not tests & set(imported(path)), path
