"""The code of another revision, beside this one: checked out for a while, with a Python that has what it needs.

What is measured is that revision's product; how it is measured is decided by the benchmarks and the helpers of tests
that are here.  So a revision from before a benchmark can be measured by it, as far as it offers what is asked.
"""

import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.suite.asking import HERE, Side

# What is ours on both sides.
MEASURING = ("benchmarks", "tests")


class UnusableRevision(Exception):
    """There is no such commit, or it can't be built here."""


def commit_of(revision: str) -> str:
    """Return the commit that a revision names."""
    done = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode:
        raise UnusableRevision(f"no commit {revision!r}")
    return done.stdout.strip()


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Side]:
    """Have a commit in a worktree below a folder until the block ends, and a Python for it."""
    tree = folder / "tree"
    try:
        done = git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        if done.returncode:
            raise UnusableRevision(done.stderr.strip())
        yield Side(python_for(tree, folder / "venv"), linked(tree, folder / "code"))
    finally:
        git("worktree", "remove", "--force", str(tree))


def linked(tree: Path, code: Path) -> Path:
    """Make a folder of links to packages: those of the tree, but for what measures."""
    code.mkdir()
    for package in tree.iterdir():
        if package.is_dir() and package.name not in MEASURING and not package.name.startswith("."):
            (code / package.name).symlink_to(package)
    for name in MEASURING:
        (code / name).symlink_to(ROOT / name)
    return code


def python_for(tree: Path, venv: Path) -> Path:
    """Return this Python if it has what the tree needs, or that of a new environment; build what is to be built."""
    if not needs_building(tree) and not needs_other_packages(tree):
        return HERE.python
    if not needs_other_packages(tree) and importlib.util.find_spec("setuptools"):
        do([str(HERE.python), "setup.py", "--quiet", "build_ext", "--inplace"], tree)
        return HERE.python
    print(f"installing what {tree} needs", file=sys.stderr)
    for command in (
        ["sh", ".ci/make-venv", sys.executable, str(venv)],
        [
            str(venv / "bin/python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check",
            "-c", "constraints.txt", "-e", ".[test]",
        ],
    ):  # fmt: skip
        do(command, tree)
    return venv / "bin/python"


def do(command: Sequence[str], tree: Path) -> None:
    """Run a command in a tree; what it says counts only if it fails."""
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnusableRevision(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


def needs_building(tree: Path) -> bool:
    """Whether a tree has something to compile."""
    return (tree / "setup.py").exists()


def needs_other_packages(tree: Path) -> bool:
    """Whether the dependencies of a tree are not those of this one."""
    return installation_of(tree) != installation_of(ROOT)


def installation_of(tree: Path) -> tuple[dict[str, Any], str]:
    """Return what decides on an environment; the settings of linters don't."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())
    constraints = tree / "constraints.txt"
    kept = {
        "dependencies": project["project"].get("dependencies"),
        "extras": project["project"].get("optional-dependencies", {}).get("test"),
    }
    return kept, constraints.read_text() if constraints.exists() else ""


def git(*words: str) -> subprocess.CompletedProcess[str]:
    """Run git in this repository."""
    return subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    )
