"""Health follows from any snapshot, and says the same in status and metrics."""

import random
from dataclasses import replace

import pytest

from config.model import KeepMemory
from ramsterd.cli.format_health import format_health, format_health_line
from ramsterd.core.resize import ResizeState
from ramsterd.health.codes import RULES, Code, Severity
from ramsterd.health.facts import KeptOut
from ramsterd.health.judge import judge
from ramsterd.health.machine import Health, HealthStatistics
from ramsterd.health.tolerance import failure_tolerance
from ramsterd.jobs.work import JobKind, JobState
from ramsterd.observe.health_facts import facts_of
from ramsterd.observe.health_metrics import health_metrics
from ramsterd.observe.snapshot import to_plain
from ramsterd.statefile.marks import Loss
from tests.helpers.made_statistics import NAME, made_statistics, random_statistics

SNAPSHOTS = 50


def test_any_snapshot_gives_a_judgement(seed: int) -> None:
    """Every figure may be any: each finding says what to type, and all outputs take it."""
    rng, health, now, seen = random.Random(seed), Health(), 0.0, set[Code]()
    for _ in range(SNAPSHOTS):
        snapshot = random_statistics(rng)
        facts = facts_of(snapshot)
        for finding in judge(facts):
            seen.add(finding.code)
            assert finding.summary
            assert finding.command
            assert "\n" not in "".join([finding.summary, finding.command, *finding.details])
        assert failure_tolerance(facts) in range(len(facts.peers) + 1)
        now += rng.choice([0.01, 1.0, 30.0])
        shown = health.on_facts(facts, now)
        if shown.codes and rng.random() < 0.3:
            health.mute(Code[shown.codes[0].code], 60.0, now)
            shown = health.on_facts(facts, now)
        counting = [each for each in shown.codes if not each.muted_seconds]
        assert (shown.severity is Severity.OK) == (not counting)
        plain = to_plain(shown)
        assert isinstance(plain, dict)
        assert format_health(plain).count("type: ") == len(shown.codes)
        assert format_health_line(plain)
        check_metrics(shown)
    assert len(seen) > len(Code) / 2, "figures that lead to few codes prove little"


def check_metrics(shown: HealthStatistics) -> None:
    """What is 1 are the codes that hold, and those that are muted."""
    health, muted, _ = health_metrics(shown)
    assert {
        (each.labels["code"], each.labels["severity"]) for each in health.samples if each.value
    } == {(each.code, each.severity.name.lower()) for each in shown.codes}
    assert {each.labels["code"] for each in muted.samples if each.value} == {
        each.code for each in shown.codes if each.muted_seconds
    }


def test_every_code_has_a_sample_for_each_of_its_severities() -> None:
    health, muted, tolerance = health_metrics(Health().on_facts(facts_of(made_statistics()), 0.0))
    assert len(health.samples) == sum(len(rule.severities) for rule in RULES.values())
    assert {sample.labels["code"] for sample in muted.samples} == {code.value for code in Code}
    assert [sample.name for sample in tolerance.samples] == [
        "ramster_health_failure_tolerance_nodes"
    ]


def test_figures_come_from_the_snapshot() -> None:
    now = made_statistics()
    facts = facts_of(now)
    engine, store = now.engine, now.engine.store
    [peer] = facts.peers
    assert (peer.name, peer.pages) == (NAME, engine.remote[0].pages)
    assert facts.pages.copies == store.copies_wanted
    assert facts.pages.unreadable == (("text", now.exports[0].unreadable_pages),)
    assert facts.memory.refused_puts_total == (
        now.pager.refused_puts_total - now.pager.refused_ephemeral_puts_total
    )
    assert facts.process.swap_exports == ("text",)
    assert facts.process.long_rounds_total == sum(now.loop_stall.counts[-4:])
    [(name, missing, damaged)] = facts.damage.in_doubt
    assert name == NAME
    assert missing > damaged > 0


@pytest.mark.parametrize("user", [None, 1000])
def test_lost_exports_and_pools_are_told_apart(user: int | None) -> None:
    now = made_statistics()
    lost = (Loss(name="spill", user=user, lost_at=7),)
    facts = facts_of(replace(now, state_file=replace(now.state_file, lost=lost)))
    assert facts.pages.lost_exports == (() if user else ("spill",))
    assert facts.pages.lost_pools == (((1000, "spill"),) if user else ())


@pytest.mark.parametrize(
    ("states", "is_drained"),
    [
        ([], None),
        ([JobState.CANCELLED], None),
        ([JobState.RUNNING], False),
        ([JobState.DONE], True),
        ([JobState.DONE, JobState.WAITING], False),
    ],
    ids=["forgotten", "an earlier one", "running", "done", "begun again"],
)
def test_a_drain_that_is_done_has_drained_the_node(
    states: list[JobState], is_drained: bool | None
) -> None:
    now = made_statistics()
    [row], [job] = now.engine.nodes.nodes, now.jobs.jobs
    config = replace(
        row.config, draining=True, drain_began_at=1_700_000_000, drain_reason="new disk"
    )
    table = replace(now.engine.nodes, nodes=(replace(row, config=config),))
    drains = tuple(replace(job, kind=JobKind.DRAIN, node=NAME, state=state) for state in states)
    facts = facts_of(
        replace(
            now,
            engine=replace(now.engine, nodes=table),
            jobs=replace(now.jobs, jobs=drains),
        )
    )
    assert facts.kept_out == (
        KeptOut(
            name=NAME,
            is_draining=True,
            is_drained=is_drained,
            began="2023-11-14 22:13:20 UTC",
            reason="new disk",
        ),
    )


def test_without_pages_the_copies_are_those_of_pages_to_come() -> None:
    now = made_statistics()
    engine = replace(now.engine, store=replace(now.engine.store, copies_wanted=0), default_copies=2)
    assert facts_of(replace(now, engine=engine)).pages.copies == 2


def test_words_of_the_snapshot_become_facts() -> None:
    now = made_statistics()
    resize = replace(now.engine.resize, state=ResizeState.STOPPED)
    unwritten = replace(now.membership, problem="full", unwritten="full")
    facts = facts_of(
        replace(
            now,
            engine=replace(now.engine, resize=resize),
            config=replace(now.config, keep=str(KeepMemory.NOBODY)),
            membership=unwritten,
            protection=replace(now.protection, oom_score_adj=-1000),
            heartbeat=None,
        )
    )
    assert facts.memory.is_shrink_stopped
    assert facts.process.is_keeper_unwanted
    assert facts.process.is_oom_exempt
    assert not facts.process.is_starved
    assert (facts.files.members_unwritten, facts.files.members_refused) == ("full", "")
