"""docs/architecture.md shows the tree and the layers that there are."""

import re
import tomllib
from typing import Any, Final

from tests.docs.pages import DOCS, ROOT, blocks, quoted, rows, section

TEXT: Final = (DOCS / "architecture.md").read_text()
# A test's folders are in a table of their own.
SHOWN_AS_ONE: Final = ("tests", "benchmarks", "systemd")
# What `make` makes, and `make clean` removes.
MADE: Final = ("build", "dist")


def shown_tree() -> dict[str, str]:
    """Return each folder of the picture with its line, by the indentation of its name."""
    (block,) = blocks(TEXT, "tree")
    found: dict[str, str] = {}
    above: list[str] = []
    for line in block.splitlines():
        match = re.fullmatch(r"( *)([\w-]+)/ +(\S.*)", line)
        assert match is not None, line
        depth = len(match[1]) // 2
        above = [*above[:depth], match[2]]
        found["/".join(above)] = match[3]
    return found


def folders() -> set[str]:
    """Return the folders of the repository, but for those inside the ones that are shown as one."""
    found: set[str] = set()
    for top in ROOT.iterdir():
        if top.name.startswith(".") or top.name in MADE or top.suffix == ".egg-info":
            continue
        below = [] if top.name in SHOWN_AS_ONE else [*top.rglob("*")]
        found |= {
            str(folder.relative_to(ROOT))
            for folder in (top, *below)
            # A folder that another branch left behind has nothing but caches.
            if folder.is_dir()
            and any(each.is_file() and each.suffix != ".pyc" for each in folder.rglob("*"))
        }
    return {folder for folder in found if "__pycache__" not in folder} - {"config/samples"}


def test_the_tree_is_the_one_that_there_is() -> None:
    assert set(shown_tree()) == folders()


def test_the_readme_has_the_folders_at_the_top() -> None:
    named = {quoted(row[0])[0] for row in rows(section((ROOT / "README.md").read_text(), "Layout"))}
    assert named == {folder for folder in folders() if "/" not in folder}


def test_the_layers_are_those_that_the_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    layered: list[dict[str, Any]] = [each for each in contracts if each["type"] == "layers"]
    (rooms,) = [each["layers"] for each in layered if each["layers"][0] == "ramsterd"]
    assert blocks(TEXT, "layers")[0].splitlines() == rooms
    insides = {each["containers"][0]: each["layers"] for each in layered if "containers" in each}
    for container, layers in insides.items():
        (shown,) = blocks(TEXT, f"layers {container}")
        assert shown.splitlines() == layers, container
