"""Metrics of commands that nodes pass on to each other."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.asking.exchange import AskingStatistics
from ramsterd.observe.metric import by, counter, gauge, one


def asking_metrics(asking: AskingStatistics) -> Iterator[Metric]:
    """Yield the families."""
    yield gauge(
        "asking_questions_under_way", "Commands that other nodes have not answered yet.", [],
        one(asking.questions_under_way),
    )  # fmt: skip
    yield counter(
        "asking_questions", "Commands of operators here for other nodes, by their outcome.",
        ["outcome"],
        by({
            "answered": asking.answered_questions_total,
            "unknown": asking.unknown_questions_total,
        }),
    )  # fmt: skip
    yield counter(
        "asking_late_pieces", "Pieces of answers that came when nobody waited for them any more.", [],
        one(asking.late_pieces_total),
    )  # fmt: skip
    yield gauge(
        "asking_waiting_commands", "Commands of other nodes that wait for their turn here.", [],
        one(asking.waiting_commands),
    )  # fmt: skip
    yield counter(
        "asking_commands", "Commands of other nodes for this one, by their outcome.", ["outcome"],
        by({
            "answered": asking.answered_commands_total,
            "refused": asking.refused_commands_total,
            "expired": asking.expired_commands_total,
        }),
    )  # fmt: skip
