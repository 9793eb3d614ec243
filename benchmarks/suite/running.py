"""One scene of the suite as a benchmark: a worker, its works in rounds, a line for each, and rows that are kept."""

from functools import partial

from benchmarks.harness import Benchmark, Options
from benchmarks.suite.asking import Announced, Failed, Worker, worker
from benchmarks.suite.bars import BARS
from benchmarks.suite.rows import Row, take_turns
from benchmarks.suite.works import Setting


def benchmark(scene: str) -> Benchmark:
    """Return a scene as the command line runs it."""
    return partial(run_scene, scene)


def run_scene(scene: str, options: Options) -> None:
    """Measure all works of a scene, print them, and keep them."""
    bars = dict(BARS.get(scene, {}))
    try:
        with worker(scene, Setting(is_quick=options.is_quick)) as asked:
            for work in asked.works:
                row_bars = bars.pop(work.name, ())
                try:
                    row = measured_row(scene, asked, work, options)
                except Failed as failed:
                    options.outcome.failures.append(f"{scene}: {work.name}")
                    print(f"  {work.name}: FAILED: {failed}", flush=True)
                    continue
                row = Row(scene, work.name, work.unit, row.rounds, row_bars)
                print("\n".join(row.lines()), flush=True)
                keep(row, options)
    except Failed as failed:
        options.outcome.failures.append(scene)
        print(f"  FAILED: {failed}", flush=True)
        return
    for name in bars:
        options.outcome.failures.append(f"{scene}: {name}")
        print(f"  {name}: FAILED: a bar, and nothing measures it", flush=True)


def measured_row(scene: str, asked: Worker, work: Announced, options: Options) -> Row:
    """Measure one work in rounds."""
    seconds = options.seconds(work.seconds)
    rounds = take_turns(
        options.rounds, work.contestants, lambda who: asked.measure(work.name, who, seconds)
    )
    return Row(scene, work.name, work.unit, rounds)


def keep(row: Row, options: Options) -> None:
    """Note a row for the record of this run."""
    options.outcome.rows.append(row.to_json())
    for judged in row.judged():
        against = f" to {judged.row_bar.peer}" if judged.row_bar.peer else ""
        options.outcome.judged.append((f"{row.name}{against}", judged.is_reached))
