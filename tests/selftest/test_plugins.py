"""Our rules for tests, in real runs of pytest over a small folder of its own."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings

from tests.plugins.order import QUICK_BEFORE_LONG, arranged, taken_together
from tests.plugins.skips import SHOWS_NOTHING

ROOT = Path(__file__).parents[2]
CONFTEST = ROOT / "tests" / "conftest.py"
TESTS = """\
import pytest

def test_seeded(seed):
    assert seed >= 0

def test_that_skips():
    pytest.skip("needs nbdinfo (libnbd-bin)")

@pytest.mark.xfail(reason="known")
def test_that_is_known_to_fail():
    assert False
"""

SLOW_TESTS = """\
import time
import pytest

def test_that_works_and_says_nothing():
    until = time.process_time() + 0.6
    while time.process_time() < until:
        pass

def test_that_waits_and_says_nothing():
    time.sleep(2.1)

@pytest.mark.slow
def test_that_says_so():
    time.sleep(2.1)

def test_that_is_quick():
    pass
"""
LONE_TESTS = """\
import os
import time
import pytest

HERE = os.path.dirname(__file__)

@pytest.fixture
def others():
    before = len([name for name in os.listdir(HERE) if name.startswith("running")])
    mine = os.path.join(HERE, f"running-{os.getpid()}")
    open(mine, "w").close()
    yield before
    time.sleep(0.02)
    os.unlink(mine)

@pytest.mark.parametrize("number", range(12))
def test_beside_others(others, number):
    pass

@pytest.mark.alone
@pytest.mark.parametrize("number", range(3))
def test_alone(others, number):
    assert not others

@pytest.mark.parametrize("number", range(12))
def test_beside_others_again(others, number):
    pass
"""

ORDERED_TESTS = """\
import pytest

def test_quick():
    pass

@pytest.mark.slow
def test_slow():
    pass

@pytest.mark.slow
@pytest.mark.system
def test_waits():
    pass

@pytest.mark.timeout(400)
@pytest.mark.system
def test_waits_long():
    pass

@pytest.mark.alone
def test_alone():
    pass

def test_quick_too():
    pass
"""

MORE_ORDERED_TESTS = """\
import pytest

@pytest.mark.slow
@pytest.mark.system
def test_waits_more():
    pass

def test_quick_more():
    pass
"""

GUEST_TESTS = """\
import pytest
from tests.plugins.stalls import Row, record

@pytest.mark.parametrize("slowest", [1099, 1101])
def test_stall(record_property, slowest):
    record(record_property, Row("holder killed", 2, "virtio", 100, slowest, "rewritten", 1000))

def test_without_a_bar(record_property):
    record(record_property, Row("owner restarted", 1, "nbd", 100, 5000, "verified", None))
"""

LONG_TESTS = """\
import pytest

@pytest.mark.long
def test_long():
    pass

def test_short():
    pass
"""


def run_pytest(folder: Path, *options: str, ci: bool = False) -> tuple[int, list[str]]:
    """Return exit status and output lines."""
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    environ |= {"PYTHONPATH": str(ROOT)} | ({"CI": "true"} if ci else {})
    # Others' plugins that these tests have no use for are most of what such a run costs.
    environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-ra",
        "-v",
        "-c",
        os.devnull,
        "-p",
        "no:cacheprovider",
        "-p",
        "xdist.plugin",
    ]
    done = subprocess.run(
        [*command, f"--rootdir={folder}", *options, str(folder)],
        cwd=folder,
        env=environ,
        text=True,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_a_seeded_test_runs_for_each_seed_and_its_id_tells_which(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    _, lines = run_pytest(tmp_path, "--seeds", "3")
    runs = [line.split()[0] for line in lines if "test_seeded" in line]
    assert runs == [f"test_it.py::test_seeded[seed={seed}]" for seed in range(3)]
    _, lines = run_pytest(tmp_path, "--seed", "4711")
    runs = [line.split()[0] for line in lines if "test_seeded" in line]
    assert runs == ["test_it.py::test_seeded[seed=4711]"]


def test_no_property_is_judged_by_its_time() -> None:
    assert settings().deadline is None


def test_the_last_lines_name_each_skip_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "test_whole.py").write_text('import pytest\npytest.importorskip("no_such_module")')
    status, lines = run_pytest(tmp_path)
    assert status == 0
    assert "2 skipped: not run here" in lines[-4]
    assert lines[-3].startswith("skipped test_whole.py: could not import 'no_such_module'")
    assert lines[-2] == "skipped test_it.py::test_that_skips: needs nbdinfo (libnbd-bin)"
    assert lines[-1].startswith("===")


def test_a_parallel_run_names_them_too(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "test_whole.py").write_text('import pytest\npytest.importorskip("no_such_module")')
    status, lines = run_pytest(tmp_path, "-n", "2")
    assert status == 0
    assert "2 skipped: not run here" in lines[-4]
    assert lines[-3].startswith("skipped test_whole.py: could not import 'no_such_module'")
    assert lines[-2] == "skipped test_it.py::test_that_skips: needs nbdinfo (libnbd-bin)"


def test_an_unmarked_slow_test_is_found_when_asked(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SLOW_TESTS)
    status, lines = run_pytest(tmp_path, "-n", "2")
    assert status == 0
    assert not any("not marked slow" in line for line in lines)
    status, lines = run_pytest(tmp_path, "-n", "2", "--check-slow")
    assert status == 1
    found = {line.rpartition("::")[2] for line in lines if " s  test_it.py" in line}
    assert found == {"test_that_works_and_says_nothing", "test_that_waits_and_says_nothing"}


def test_a_parallel_run_takes_what_takes_longest_early_and_mixes_all_others(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(ORDERED_TESTS)
    (tmp_path / "test_more.py").write_text(MORE_ORDERED_TESTS)

    def order(*options: str) -> list[str]:
        status, lines = run_pytest(tmp_path, *options)
        assert status == 0, lines
        words = [line.split() for line in lines if "PASSED" in line]
        return [word.partition("::test_")[2] for line in words for word in line if "::" in word]

    assert order("-n", "1") == [
        "alone", "quick", "quick_too", "quick_more", "waits_long", "waits", "slow", "waits_more",
    ]  # fmt: skip
    assert order()[:6] == ["quick", "slow", "waits", "waits_long", "alone", "quick_too"]


def test_a_queue_has_what_takes_longest_early_and_ends_with_what_computes() -> None:
    def item(number: int, *marks: str, folder: str = "unit") -> Any:
        found = [SimpleNamespace(name=mark, args=(number + 200,)) for mark in marks]
        named = {each.name: each for each in found}
        path = (
            f"tests/unit/test_{number // 5:03}.py"
            if folder == "unit"
            else f"tests/{folder}/test_storm.py"
        )
        return SimpleNamespace(
            number=number, path=path, nodeid=f"{path}::test_{number}",
            iter_markers=lambda: found, get_closest_marker=named.get,
        )  # fmt: skip

    quick, waits = [item(each) for each in range(600)], [item(each, "system") for each in range(60)]
    computing = [item(each, folder="simulation") for each in range(100)]
    alone, long = [item(0, "alone")], [item(each, "timeout", "system") for each in range(5)]
    found = arranged([*quick, *waits, *computing, *long, *alone])
    assert {*map(id, found)} == {*map(id, [*quick, *waits, *computing, *long, *alone])}
    assert found[0] is alone[0]
    # Meanwhile others have quick ones: the one that is alone waits for what has begun.
    begin = 1 + QUICK_BEFORE_LONG
    assert all(each in quick for each in found[1:begin])
    places = [place for place, each in enumerate(found) if each in long]
    assert [found[place] for place in places] == long[::-1], "the longest first"
    assert (places[0], places[-1] < len(found) * 3 // 4) == (begin, True)
    assert min(after - before for before, after in pairwise(places)) > 20
    end = len(found) - 50
    assert found[end:] == computing[50:]
    waiting = [place for place, each in enumerate(found[begin:end]) if each in waits]
    assert len(waiting) == len(waits)
    assert max(after - before for before, after in pairwise(waiting)) < len(found) // 8


def test_a_worker_takes_one_test_of_programs_and_a_file_of_quick_ones() -> None:
    program = "tests/system/test_addresses.py::test_it[::1]"
    assert taken_together(program) == program
    assert taken_together("tests/unit/net/test_frame.py::test_it") == "tests/unit/net/test_frame.py"
    # What one of them has made the others use.
    assert taken_together("tests/system/test_demo.py::test_it") == "tests/system/test_demo.py"


def test_each_worker_begins_to_collect_elsewhere_and_all_have_the_same_order(
    tmp_path: Path,
) -> None:
    for name in "abcd":
        source = f"open('collected-' + os.environ['PYTEST_XDIST_WORKER'], 'a').write('{name}')"
        test = f"def test_of_{name}():\n    pass\n"
        (tmp_path / f"test_{name}.py").write_text(f"import os\n{source}\n{test}")
    status, lines = run_pytest(tmp_path, "-n", "2")
    # Workers that had them in orders of their own would end the run.
    assert status == 0, lines
    assert (tmp_path / "collected-gw0").read_text() == "abcd"
    assert (tmp_path / "collected-gw1").read_text() == "cdab"


def test_one_that_is_alone_runs_while_no_other_does(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(LONE_TESTS)
    status, lines = run_pytest(tmp_path, "-n", "3")
    assert status == 0, lines


def test_a_skip_under_ci_is_a_failure_and_an_expected_failure_is_not(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    status, lines = run_pytest(tmp_path, ci=True)
    assert status == 1
    assert lines[-2] == "skipped test_it.py::test_that_skips: needs nbdinfo (libnbd-bin)"
    assert "1 failed, 1 passed, 1 xfailed" in lines[-1]


def test_a_test_that_could_show_nothing_is_skipped_under_ci_too(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        f'import pytest\ndef test_it():\n    pytest.skip("{SHOWS_NOTHING}too busy")\n'
    )
    status, lines = run_pytest(tmp_path, ci=True)
    assert status == 0
    assert lines[-2] == f"skipped test_it.py::test_it: {SHOWS_NOTHING}too busy"


def test_a_file_that_skips_itself_under_ci_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text('import pytest\npytest.importorskip("no_such_module")')
    status, lines = run_pytest(tmp_path, ci=True)
    assert status != 0
    assert any("skipped under CI=true" in line for line in lines)


OVER = "holder killed                    2  virtio         100     1,101   1,000  rewritten  OVER"
STALLS = [
    "owner restarted                  1  nbd            100     5,000          verified",
    "holder killed                    2  virtio         100     1,099   1,000  rewritten",
    OVER,
]


def table_of(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("holder", "owner"))]


def test_a_run_ends_with_how_long_guests_waited(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(GUEST_TESTS)
    status, lines = run_pytest(tmp_path)
    assert status == 0
    assert table_of(lines) == STALLS


@pytest.mark.parametrize("workers", ["0", "2"])
def test_how_long_guests_waited_is_judged_when_asked(tmp_path: Path, workers: str) -> None:
    (tmp_path / "test_it.py").write_text(GUEST_TESTS)
    status, lines = run_pytest(tmp_path, "-n", workers, "--judge-stalls")
    assert status == 1
    assert table_of(lines)[-len(STALLS) :] == STALLS
    assert lines.count(OVER) == 2
    assert "1 failed, 2 passed" in lines[-1]


def test_a_long_test_is_left_out_until_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(LONG_TESTS)
    status, lines = run_pytest(tmp_path)
    assert (status, "1 passed, 1 deselected" in lines[-1]) == (0, True)
    status, lines = run_pytest(tmp_path, "--long")
    assert (status, "2 passed" in lines[-1]) == (0, True)
