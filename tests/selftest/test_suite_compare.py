"""Comparing revisions: differences beyond the spread, the code of both, and a run of HEAD beside what is here."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.processes import ROOT
from benchmarks.suite import revisions
from benchmarks.suite.asking import HERE
from benchmarks.suite.compare import print_loops, variable
from benchmarks.suite.differences import ROUNDS_MIN, Difference, lines
from benchmarks.suite.works import Measured
from tests.docs.pages import PACKAGES
from tests.helpers.requirements import require_tool

PROJECT = '[build-system]\nrequires = ["setuptools"]\n[project]\ndependencies = ["trio"]\n'


@pytest.mark.parametrize(
    ("base", "now", "told"),
    [
        ((1, 2, 3, 4), (5, 6, 7, 8), "more"),
        ((5, 6, 7, 8), (1, 2, 3, 4), "less"),
        ((1, 2, 3, 5), (5, 6, 7, 8), "within the spread"),
        ((1, 2, 3), (5, 6, 7), "too few rounds"),
    ],
)
def test_a_difference_counts_if_no_rounds_of_enough_meet(
    base: Sequence[float], now: Sequence[float], told: str
) -> None:
    assert Difference(base, now).told("more", "less") == told


def test_the_ratio_is_of_medians_and_the_spread_of_the_noisier_side() -> None:
    found = Difference((90, 100, 150), (200, 200, 200))
    assert (*found.medians, found.ratio, found.spread) == (100, 200, 2, 0.3)


def test_a_process_that_took_no_time_is_no_division_by_zero() -> None:
    found = Difference((0.0, 0.0), (0.0, 0.0))
    assert (found.ratio, found.spread) == (1, 0)


@pytest.mark.parametrize(
    ("unit", "verdict"), [("iops", "faster"), ("MiB/s", "faster"), ("us", "slower")]
)
def test_what_more_means_depends_on_the_unit(unit: str, verdict: str) -> None:
    base = [Measured(100.0, {"owner": 4.0, "gone": 1.0})] * ROUNDS_MIN
    now = [Measured(200.0, {"owner": 2.0, "new": 1.0})] * ROUNDS_MIN
    work, owner = lines("a work", unit, base, now)
    assert work.split()[-4:] == ["2.00x", "±0.0", "%", verdict]
    assert owner.split()[:5] == ["owner,", "processor", "time", "a", "page"]
    assert owner.endswith("  less")


# The code of a revision.


def test_what_measures_is_ours_and_what_is_measured_is_theirs(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("ramsterd", "benchmarks", "tests", ".git"):
        (tree / name).mkdir(parents=True)
    code = revisions.linked(tree, tmp_path / "code")
    assert {each.name: each.resolve() for each in code.iterdir()} == {
        "ramsterd": tree / "ramsterd",
        "benchmarks": ROOT / "benchmarks",
        "tests": ROOT / "tests",
    }


@pytest.mark.parametrize(
    ("changed", "needs"),
    [
        ({}, False),
        ({"pyproject.toml": PROJECT + "[tool.ruff]\nline-length = 80\n"}, False),
        ({"pyproject.toml": PROJECT.replace("trio", "trio>=1")}, True),
        ({"constraints.txt": "trio==1\n"}, True),
    ],
)
def test_other_dependencies_need_an_environment_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], *, needs: bool
) -> None:
    monkeypatch.setattr(revisions, "ROOT", tmp_path / "here")
    files = {"pyproject.toml": PROJECT, "constraints.txt": "trio==0\n"}
    for name, content in {"here": files, "tree": files | changed}.items():
        (tmp_path / name).mkdir()
        for file, text in content.items():
            (tmp_path / name / file).write_text(text)
    assert revisions.needs_other_packages(tmp_path / "tree") is needs


def test_what_is_compiled_is_built_in_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("setuptools")
    monkeypatch.setattr(revisions, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    assert revisions.python_for(tmp_path, tmp_path / "venv") == HERE.python
    (tmp_path / "setup.py").write_text("import sys; open('built', 'w').write(sys.argv[2])")
    assert revisions.python_for(tmp_path, tmp_path / "venv") == HERE.python
    assert (tmp_path / "built").read_text() == "build_ext"
    (tmp_path / "setup.py").write_text("import sys; sys.exit('no compiler')")
    with pytest.raises(revisions.UnusableRevision, match="no compiler"):
        revisions.python_for(tmp_path, tmp_path / "venv")


def test_variables_are_names_with_values() -> None:
    assert variable("RAMSTER_PURE=1") == ("RAMSTER_PURE", "1")
    assert variable("NAME=") == ("NAME", "")
    for text in ("NAME", "=1"):
        with pytest.raises(argparse.ArgumentTypeError):
            variable(text)


def test_inner_loops_are_told_where_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    print_loops({"base": "compiled", "now": "compiled"})
    assert not capsys.readouterr().out
    print_loops({"base": "Python (not built)", "now": "compiled"})
    assert capsys.readouterr().out == "  inner loops: base: Python (not built); now: compiled\n"


def commit_all(root: Path, text: str) -> None:
    """Commit what is there, by an author who needs no configuration."""
    author = ["-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init"], ["add", "."], ["commit", "--message", text]):
        subprocess.run(["git", *author, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two commits, in place of this one."""
    require_tool("git")
    root = tmp_path / "repository"
    (root / "ramsterd").mkdir(parents=True)
    (root / "pyproject.toml").write_text(PROJECT)
    monkeypatch.setattr(revisions, "ROOT", root)
    for text in ("old", "new"):
        (root / "ramsterd/code.py").write_text(text)
        commit_all(root, text)
    return root


@pytest.mark.usefixtures("repository")
def test_a_name_that_is_no_commit_is_refused() -> None:
    assert len(revisions.commit_of("HEAD~1")) == 40
    for name in ("no-such-revision", "--help", "HEAD:ramsterd"):
        with pytest.raises(revisions.UnusableRevision):
            revisions.commit_of(name)


@pytest.mark.slow
def test_a_worktree_is_removed_also_when_the_comparison_is_interrupted(
    repository: Path, tmp_path: Path
) -> None:
    def interrupted() -> None:
        with revisions.checked_out(revisions.commit_of("HEAD~1"), tmp_path) as side:
            assert (side.root / "ramsterd/code.py").read_text() == "old"
            assert side.python == HERE.python
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "tree").exists()
    assert revisions.git("worktree", "list").stdout.count("\n") == 1
    assert (repository / "ramsterd/code.py").read_text() == "new"


@pytest.mark.slow
def test_head_is_compared_with_what_is_here(tmp_path: Path) -> None:
    require_tool("git")
    root, temporary = tmp_path / "copy", tmp_path / "temporary"
    temporary.mkdir()
    for name in (*PACKAGES, "benchmarks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    commit_all(root, "all")
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.suite.compare", "HEAD",
            "--quick", "--only", "store", "--work", "get, runs of 32, real",
        ],
        cwd=root, env=os.environ | {"PYTHONPATH": str(root), "TMPDIR": str(temporary)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heading, row = done.stdout.splitlines()[-2:]
    assert heading.split() == ["store", "base", "now", "ratio", "spread"]
    assert row.split()[:7] == ["get,", "runs", "of", "32,", "real", "files", "us"]
    assert row.endswith("too few rounds")
    assert not list(temporary.iterdir())
    assert not list(root.glob(".git/worktrees/*"))
