"""The suite of benchmarks: turns, bars, rows, the history, and the protocol of workers."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command_line
from benchmarks.harness import Options, Outcome, at_least, at_most
from benchmarks.history_plot import Point, by_machine, series_of
from benchmarks.suite import history
from benchmarks.suite.asking import Failed, worker
from benchmarks.suite.bars import BARS, RowBar, alone, over, to
from benchmarks.suite.rows import Row, take_turns
from benchmarks.suite.running import keep
from benchmarks.suite.scenes import SCENES, find_scene
from benchmarks.suite.worker import serve
from benchmarks.suite.works import OURS, Measured, Setting, Work, is_more_better


def row(figures: Mapping[str, tuple[float, ...]], *bars: RowBar, unit: str = "iops") -> Row:
    """Return a row whose pages cost each contestant as many microseconds as its figure has thousands."""
    rounds = {
        who: [Measured(value, {"server": value / 1000}) for value in values]
        for who, values in figures.items()
    }
    return Row("scene", "work", unit, rounds, bars)


# Turns.


def test_contestants_take_turns_in_an_order_that_turns_around() -> None:
    asked = []

    def measure(who: str) -> Measured:
        asked.append(who)
        return Measured(float(len(asked)))

    found = take_turns(3, ("a", "b"), measure)
    assert asked == ["a", "b", "b", "a", "a", "b"]
    assert [each.value for each in found["a"]] == [1, 4, 5]


# Bars.


@pytest.mark.parametrize(
    ("bar", "figure", "is_reached"),
    [
        (to("peer", at_least(0.5)), 0.5, True),
        (to("peer", at_least(0.6)), 0.5, False),
        (to("peer", at_most(0.4)), 0.5, False),
        (over("peer", at_most(-99, " us")), -100, True),
        (over("peer", at_most(-101, " us")), -100, False),
        (alone(at_least(101, " MiB/s")), 100, False),
    ],
)
def test_a_bar_judges_medians(bar: RowBar, figure: float, *, is_reached: bool) -> None:
    (judged,) = row({OURS: (1, 100, 900), "peer": (200, 200, 1)}, bar).judged()
    assert judged.figure == figure
    assert judged.is_reached is is_reached


def test_a_bar_whose_peer_was_not_measured_judges_nothing() -> None:
    assert row({OURS: (1,)}, to("peer", at_least(0.5))).judged() == []


def test_every_scene_with_bars_is_one_and_can_be_imported() -> None:
    assert BARS.keys() <= SCENES.keys()
    for name in SCENES:
        assert callable(find_scene(name))


def test_throughput_and_times_are_told_apart() -> None:
    assert [is_more_better(unit) for unit in ("iops", "MiB/s", "us", "p99/p50")] == [
        True,
        True,
        False,
        False,
    ]


# What is printed and kept.


def test_a_row_says_its_bars_and_what_a_page_costs_each_process() -> None:
    made = row({OURS: (900, 1000, 1100), "peer": (2000, 2000, 2000)}, to("peer", at_least(0.6)))
    beside, costs = made.lines()
    assert "1,000 (900-1,100)" in beside
    assert beside.endswith("0.50x  bar at least 0.6x: not reached")
    assert costs.endswith("ramster: server 1; peer: server 2")


def test_a_difference_is_printed_in_its_unit() -> None:
    made = row({OURS: (3.0,), "bare": (2.5,)}, over("bare", at_most(0.6, " us")), unit="us")
    assert next(made.lines()).endswith("+0.50 us  bar at most 0.6 us: reached")


def test_a_figure_that_stands_alone_has_one_line() -> None:
    first, _ = row({OURS: (300.0,)}, alone(at_least(400, " MiB/s")), unit="MiB/s").lines()
    assert first.endswith("bar at least 400 MiB/s: not reached")


def test_every_round_is_kept_with_medians_and_verdicts() -> None:
    made = row({OURS: (1.23456, 1, 3), "peer": (2, 2, 2)}, to("peer", at_least(0.6)))
    assert json.loads(json.dumps(made.to_json())) == {
        "scene": "scene",
        "work": "work",
        "unit": "iops",
        "rounds": {OURS: [1.235, 1, 3], "peer": [2, 2, 2]},
        "medians": {OURS: 1.235, "peer": 2},
        "processor_us": {OURS: {"server": 0.001235}, "peer": {"server": 0.002}},
        "bars": [
            {
                "by": "ratio",
                "peer": "peer",
                "bar": "at least 0.6x",
                "figure": 0.6173,
                "is_reached": True,
            }
        ],
    }


@pytest.mark.parametrize(
    ("outcome", "is_quick", "is_good"),
    [
        (Outcome(judged=[("one", True)]), False, True),
        (Outcome(judged=[("one", True), ("other", False)]), False, False),
        (Outcome(judged=[("one", False)]), True, True),
        (Outcome(failures=["one"]), True, False),
    ],
)
def test_a_run_is_good_if_all_bars_were_reached(
    outcome: Outcome, *, is_quick: bool, is_good: bool
) -> None:
    assert outcome.is_good(is_quick=is_quick) is is_good


def test_bars_that_were_missed_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    options = Options()
    keep(row({OURS: (1,), "peer": (2,)}, to("peer", at_least(0.6)), alone(at_least(1))), options)
    command_line.print_outcome(options.outcome)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "1 of 2 bars reached",
        "  not reached: scene: work to peer",
    ]


# The history.


def test_a_record_says_when_of_what_and_where() -> None:
    record = history.record_of([{"scene": "one"}], rounds=5, is_quick=False, load=1.234)
    assert record["rows"] == [{"scene": "one"}]
    assert record["load"] == 1.2
    assert {"date", "revision", "machine", "loops", "python", "rounds", "is_quick"} <= record.keys()


def test_records_are_appended_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "RECORDS_MAX", 2)
    path = tmp_path / "history.jsonl"
    assert history.load(path) == []
    for number in range(3):
        history.append(path, {"number": number})
    assert history.load(path) == [{"number": 1}, {"number": 2}]
    assert [each.name for each in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_history_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("<<<<<<< a conflict\n")
    with pytest.raises(ValueError, match="Expecting value"):
        history.append(path, {"number": 1})
    assert path.read_text() == "<<<<<<< a conflict\n"


# The plot.


def record(machine: str, median: float) -> dict[str, Any]:
    row = {
        "scene": "nbd_local", "work": "4k randread", "unit": "iops",
        "rounds": {OURS: [median - 1, median, median + 2]}, "medians": {OURS: median},
    }  # fmt: skip
    return {"machine": machine, "rows": [row]}


def test_a_series_has_each_run_of_a_work() -> None:
    (series,) = series_of([record("one", 10.0), record("other", 20.0)])
    assert (series.title, series.unit) == ("nbd_local: 4k randread", "iops")
    assert series.points == {OURS: [Point(0, "one", 9, 10, 12), Point(1, "other", 19, 20, 22)]}


def test_another_machine_breaks_the_line() -> None:
    points = [Point(run, machine, 1, 2, 3) for run, machine in enumerate("aabaa")]
    assert [[each.run for each in part] for part in by_machine(points)] == [[0, 1], [2], [3, 4]]


# Workers.


def test_a_worker_says_what_there_is_and_measures_when_asked() -> None:
    work = Work("work", "us", {OURS: lambda seconds: Measured(seconds, {"daemon": 2.0})}, 3.0)
    asked = [json.dumps({"work": "work", "contestant": OURS, "seconds": 0.5})]
    answers = io.StringIO()
    serve([work], asked, answers)
    said, measured = map(json.loads, answers.getvalue().splitlines())
    assert said["loops"].split()[0] in {"compiled", "Python"}
    assert said["works"] == [{"name": "work", "unit": "us", "seconds": 3.0, "contestants": [OURS]}]
    assert measured == {"value": 0.5, "processor_us": {"daemon": 2.0}}


def test_a_figure_that_cannot_be_measured_is_a_problem_of_its_own() -> None:
    def fail(_seconds: float) -> Measured:
        raise RuntimeError("the server\nis gone")

    works = [Work("bad", "us", {OURS: fail}), Work("good", "us", {OURS: Measured})]
    asked = [
        json.dumps({"work": name, "contestant": OURS, "seconds": 1.0}) for name in ("bad", "good")
    ]
    answers = io.StringIO()
    serve(works, asked, answers)
    _, bad, good = map(json.loads, answers.getvalue().splitlines())
    assert bad == {"problem": "RuntimeError: the server"}
    assert good["value"] == 1.0


@pytest.mark.slow
def test_a_process_measures_one_round_and_ends_when_nobody_asks_more() -> None:
    with worker("store", Setting(is_quick=True, with_peers=False)) as asked:
        assert OURS in asked.works[0].contestants
        assert asked.measure(asked.works[0].name, OURS, 0.1).value > 0
        with pytest.raises(Failed, match="nobody"):
            asked.measure(asked.works[0].name, "nobody", 0.1)
    assert asked.process.returncode == 0
