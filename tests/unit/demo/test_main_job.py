import io
from pathlib import Path

from config.limits import BUDGET_BYTES_MIN, PAGE_BYTES
from ramsterd.demo.archive import plan_archive
from ramsterd.demo.main_job import Measure, measure
from ramsterd.demo.report import Report


def test_the_first_node_gets_a_quarter_and_the_others_room_for_all() -> None:
    measured = Measure(archive_bytes=100 << 20, zpage_bytes=40_000_001)
    first, *others = measured.budgets_bytes
    assert first == 10_000_000 // PAGE_BYTES * PAGE_BYTES
    assert all(budget >= 40_000_001 and budget % PAGE_BYTES == 0 for budget in others)


def test_no_budget_is_below_what_a_daemon_accepts() -> None:
    assert Measure(1 << 20, 100).budgets_bytes == (BUDGET_BYTES_MIN,) * 3


def test_measuring_counts_what_zpages_take(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(100 * PAGE_BYTES))
    measured = measure(
        plan_archive([tmp_path], bytes_min=PAGE_BYTES, bytes_max=1 << 20), Report(io.StringIO())
    )
    assert measured.pages == 101
    assert 0 < measured.zpage_bytes < PAGE_BYTES
