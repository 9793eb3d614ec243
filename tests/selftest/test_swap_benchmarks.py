"""The benchmarks of swapping guests: what is run, kept, judged and printed."""

import json
from pathlib import Path

import pytest

from benchmarks import swap_page
from benchmarks.apps.__main__ import half_mebibytes
from benchmarks.apps.tables import markdown as apps_markdown
from benchmarks.guest.sources import write_sources
from benchmarks.guest.tables import markdown
from benchmarks.swapping.cells import Cell, Cells
from benchmarks.swapping.command import differs, missing
from benchmarks.swapping.disks import HARD_DISK, drive
from benchmarks.swapping.guest import Outcome, Run, figures_of, outcome_of
from benchmarks.swapping.settings import BY_NAME, GUEST_MEBIBYTES_MIN, SETTINGS

PARAMETERS = {"seconds_max": 400, "enough_mebibytes": 256}
SAID = """[    1.0] a line of the kernel
bench: seconds 12.5
bench: status 0
bench: oom_kill 0
bench: over 1
"""


def run(outcome: Outcome = Outcome.DONE, **figures: float) -> Run:
    return Run(outcome=outcome, figures=figures, load=0.5, wall_seconds=20.0)


def cells_of(runs: dict[Cell, list[Run]], path: Path | None = None) -> Cells:
    return Cells(path, PARAMETERS, ["machine: a machine"], runs)


def plan(cells: Cells, *, rounds: int = 1) -> list[tuple[str, int | str]]:
    settings = [BY_NAME["hdd"], BY_NAME["zram"]]
    return [(cell.setting, cell.size) for cell in missing(cells, settings, (2, 4), rounds)]


def test_cells_are_run_by_rising_size_and_each_size_by_all_settings() -> None:
    assert plan(cells_of({})) == [("hdd", 2), ("zram", 2), ("hdd", 4), ("zram", 4)]


def test_a_cell_that_is_kept_is_not_run_again() -> None:
    cells = cells_of({Cell("hdd", 2): [run()], Cell("zram", 4): [run()]})
    assert plan(cells) == [("zram", 2), ("hdd", 4)]


def test_a_second_round_comes_after_the_first_one_of_all() -> None:
    cells = cells_of({Cell("hdd", 2): [run()]})
    assert plan(cells, rounds=2)[:3] == [("zram", 2), ("hdd", 4), ("zram", 4)]


@pytest.mark.parametrize("outcome", [Outcome.TOO_SLOW, Outcome.OUT_OF_MEMORY, Outcome.SWAP_ERROR])
def test_a_setting_that_failed_is_not_run_at_larger_sizes(outcome: Outcome) -> None:
    cells = cells_of({Cell("zram", 2): [run(outcome)]})
    assert plan(cells) == [("hdd", 2), ("hdd", 4)]


def test_a_run_that_is_kept_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    cells = Cells.open(path, PARAMETERS, ["one"])
    cells.add(Cell("hdd", 2), run(seconds=7.0))
    cells.add(Cell("zram", "redis"), run(Outcome.TOO_SLOW))
    again = Cells.open(path, PARAMETERS, ["one"])
    assert again.runs == cells.runs
    assert [each.name for each in tmp_path.iterdir()] == ["cells.json"]


def test_a_file_of_other_sizes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.json"
    Cells.open(path, PARAMETERS, []).add(Cell("hdd", 2), run())
    with pytest.raises(ValueError, match="choose another file"):
        Cells.open(path, {"seconds_max": 1}, [])


def test_the_median_is_of_runs_that_were_done() -> None:
    kept = [
        run(seconds=3.0),
        run(seconds=1.0),
        run(Outcome.TOO_SLOW, seconds=90.0),
        run(seconds=2.0),
    ]
    cells = cells_of({Cell("hdd", 2): kept})
    assert cells.median(Cell("hdd", 2), "seconds") == 2.0
    assert cells.median(Cell("hdd", 4), "seconds") is None


def test_an_output_that_differs_from_that_of_another_setting_is_found() -> None:
    cells = cells_of({Cell("hdd", 2): [run(checksum=5.0)]})
    assert differs(cells, Cell("zram", 4), run(checksum=6.0))
    assert not differs(cells, Cell("zram", 4), run(checksum=5.0))
    assert not differs(cells, Cell("zram", 4), run())
    assert not differs(cells_of({}), Cell("zram", 4), run(checksum=6.0))


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (SAID, Outcome.DONE),
        (SAID.replace("status 0", "status 2"), Outcome.FAILED),
        (SAID.replace("bench: over 1\n", ""), Outcome.TOO_SLOW),
        ("Kernel panic - not syncing", Outcome.FAILED),
        (SAID + "bench: wrong 3\n", Outcome.FAILED),
        (SAID.replace("oom_kill 0", "oom_kill 1"), Outcome.OUT_OF_MEMORY),
        ("Out of memory: Killed process 7 (cc1)", Outcome.OUT_OF_MEMORY),
        (f"Write-error on swap-device (254:16:8)\n{SAID}", Outcome.SWAP_ERROR),
    ],
)
def test_a_run_is_judged_by_its_console(said: str, outcome: Outcome) -> None:
    assert outcome_of(said, figures_of(said)) is outcome


@pytest.mark.parametrize("mebibytes", [90, 192])
def test_a_machine_has_the_same_memory_in_all_settings(mebibytes: int) -> None:
    for setting in SETTINGS:
        home = setting.budget_mebibytes(mebibytes)
        assert setting.guest_mebibytes(mebibytes) + home == mebibytes
        assert setting.guest_mebibytes(mebibytes) >= GUEST_MEBIBYTES_MIN
        assert bool(home) == setting.has_ramster


def test_a_node_that_is_alone_serves_what_it_surely_holds() -> None:
    alone = BY_NAME["zcache"]
    assert alone.export_mebibytes(192) == 2 * alone.budget_mebibytes(192)
    assert alone.disk is not None, "what does not fit goes somewhere"


def test_a_disk_is_held_to_the_figures_of_its_name() -> None:
    options = drive("swap", Path("/nowhere/swap.raw"), HARD_DISK)
    limits = json.loads(options[1])["limits"]
    assert limits["iops-read"] == int(1000 / (7.4 + 4.16))
    assert json.loads(options[3])["throttle-group"] == json.loads(options[1])["id"]


def test_sources_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_sources(tmp_path / name, 2, types=5)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()
    assert len(list((tmp_path / "one").iterdir())) == 3


def test_half_of_what_an_application_needs_is_what_the_kernel_takes_and_half() -> None:
    enough = run(need_kib=100.0 * 1024, available_kib=206.0 * 1024)
    cells = cells_of({Cell("enough", "redis"): [enough]})
    assert half_mebibytes(cells, "redis") == 50 + 50
    with pytest.raises(ValueError, match="run --only enough first"):
        half_mebibytes(cells, "sort")


def test_tables_say_how_a_setting_failed() -> None:
    cells = cells_of(
        {
            Cell("enough", 4): [run(seconds=50.0)],
            Cell("hdd", 4): [run(Outcome.TOO_SLOW)],
            Cell("zram", 4): [run(Outcome.OUT_OF_MEMORY)],
            Cell("ramster-1", 4): [run(seconds=61.2, pswpin=12345.0)],
        }
    )
    lines = markdown(cells)
    assert "| 4 | 50 | over 400 | - | out of memory | - | 61 | - |" in lines
    assert "| 4 | over 400 | - | out of memory | - | 12,345 | - |" in lines


def test_slowdowns_are_against_enough_memory() -> None:
    cells = cells_of(
        {
            Cell("enough", "redis"): [run(seconds=10.0, p50_us=200.0, p99_us=900.0)],
            Cell("ramster-1", "redis"): [run(seconds=15.0, p50_us=300.0, p99_us=4000.0)],
        }
    )
    assert "| ramster, one peer | 1.50x | 15.0 | - | - | 0.3, 4.0 |" in apps_markdown(cells)


def test_a_section_of_the_page_is_written_anew() -> None:
    text = "a\n<!-- x: made by benchmarks.swap_page -->\nold\n<!-- x: end -->\nb\n"
    once = swap_page.with_section(text, "x", ["new"])
    assert once == swap_page.with_section(once, "x", ["new"])
    assert "old" not in once
    assert once.startswith("a\n")
    with pytest.raises(ValueError, match="0 sections 'y'"):
        swap_page.with_section(text, "y", [])


def test_the_page_has_the_figures_that_are_kept() -> None:
    before = swap_page.PAGE.read_text()
    assert swap_page.page_text(before) == before, "run python -m benchmarks.swap_page"
