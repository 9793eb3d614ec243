"""What a node says of itself: read within limits, and equal where cluster files are."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ramsterd.asking.self_report import (
    REPORT_BYTES_MAX,
    TEXT_CHARACTERS_MAX,
    BadReport,
    SelfReport,
    cluster_digest,
    parse_answer,
)
from ramsterd.observe.snapshot import to_plain
from tests.helpers.clusters import cluster_of
from tests.helpers.self_reports import REPORT, SIGHT


def answer(**changes: Any) -> str:
    """Return an answer with other values; `...` takes one away."""
    plain = to_plain(REPORT)
    assert isinstance(plain, dict)
    result = {key: value for key, value in {**plain, **changes}.items() if value is not ...}
    return json.dumps({"ok": True, "result": result})


@pytest.mark.parametrize(
    "report",
    [REPORT, replace(REPORT, sees=None), replace(REPORT, sees=replace(SIGHT, heartbeat_seconds=None))],
)  # fmt: skip
def test_what_is_said_is_heard(report: SelfReport) -> None:
    assert parse_answer(json.dumps({"ok": True, "result": to_plain(report)})) == report


def test_a_later_version_may_say_more() -> None:
    assert parse_answer(answer(more=[1])) == REPORT


@pytest.mark.parametrize(
    "bad",
    [
        "", "[", "[]", '{"ok": true}', '{"ok": false, "error": "x"}', "[" * 4000,
        answer(version=...), answer(version=7), answer(version="a\n"), answer(version="\ud800"),
        answer(clock_seconds="1"), answer(clock_seconds=True), answer(clock_seconds=float("nan")),
        answer(clock_seconds=10**400), answer(uptime_seconds=float("-inf")),
        answer(membership_version=1.5), answer(membership_version=-1), answer(membership_version=True),
        answer(sees=[]), answer(sees={}), answer(sees={**dict.fromkeys(("state", "link_reason"), ""), "is_linked": 1}),
        answer(build="x" * REPORT_BYTES_MAX),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(bad: str) -> None:
    with pytest.raises(BadReport):
        parse_answer(bad)


def test_a_long_text_is_cut() -> None:
    assert len(parse_answer(answer(build="x" * 1000)).build) == TEXT_CHARACTERS_MAX


def test_a_digest_is_of_all_that_a_cluster_file_says_and_not_of_its_order() -> None:
    cluster = cluster_of(3)
    turned = replace(cluster, node=tuple(reversed(cluster.node)))
    assert cluster_digest(turned) == cluster_digest(cluster)
    others = [
        cluster_of(2),
        replace(cluster, membership_version=1),
        replace(cluster, timers=replace(cluster.timers, probe_seconds=2.0)),
        replace(cluster, node=(replace(cluster.node[0], cordoned=True), *cluster.node[1:])),
    ]
    assert len({cluster_digest(each) for each in [cluster, *others]}) == 5
