"""`ramsterctl jobs`, `job watch`, `job cancel`, and what begins a job: `node drain` and `verify`."""

import logging
from functools import partial
from typing import Final

import trio

from config.event_kinds import EventKind, about
from config.reader import show
from nodemanager.ids import NodeId
from ramsterd.admin.node_commands import (
    cordon_node,
    drain_node,
    drain_warnings,
    drained,
    find_node,
)
from ramsterd.admin.orders import read_reason
from ramsterd.admin.socket import Command, CommandRefused
from ramsterd.host.logs.json_lines import show_time
from ramsterd.jobs.job import Job, JobStatistics
from ramsterd.jobs.work import JobKind, Order
from ramsterd.membership.members import Members
from ramsterd.observe.drain_forecast import forecast
from ramsterd.observe.job_facts import HOME, drain_key, pages_key, tables_key
from ramsterd.observe.job_watch import JobWatch
from ramsterd.observe.snapshot import to_plain
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers

logger = logging.getLogger("ramster.commands")

_NO_REBUILD: Final = (
    "pages with too few copies are copied again until all have theirs. To make it slower: lower"
    " rebuild_pages_per_second in [remote], then `ramsterctl config reload`"
)
_NO_RECALL_HOME: Final = (
    "another node gives these pages back. To end that: give it memory (`ramsterctl memory set --budget"
    " SIZE` there), or end its drain (`ramsterctl node uncordon NAME`)"
)
_NO_RECALL_AWAY: Final = "the memory here is short. To end that: give this node memory (`ramsterctl memory set --budget SIZE`)"


def job_commands(watch: JobWatch, engine: Engine, peers: Peers) -> dict[str, Command]:
    """Return the commands by name."""
    members = peers.members
    return {
        "jobs": partial(jobs, watch),
        "job": partial(job, watch),
        "job-cancel": partial(cancel, watch, engine, peers),
        "node-drain": partial(drain, watch, engine, members),
        "verify": partial(verify, watch, engine, peers),
    }


def jobs(watch: JobWatch, _: dict[str, object]) -> object:
    """Return all jobs of this node: those that go on, and the last ones that ended."""
    now = watch.statistics()
    return {"node": now.node, "jobs": [_plain(watch, each) for each in now.jobs.jobs]}


def job(watch: JobWatch, request: dict[str, object]) -> object:
    """Return the job `id`; to ask for it again and again is to watch it.

    Raises:
        CommandRefused: There is none.
    """
    watch.statistics()
    found = _find(watch, request)
    watch.on_watched(found)
    return _plain(watch, found.statistics(watch.now()))


def cancel(watch: JobWatch, engine: Engine, peers: Peers, request: dict[str, object]) -> object:
    """End the job `id`.

    Raises:
        CommandRefused: There is none, it has ended, or it can't be ended so.
    """
    watch.statistics()
    found = _find(watch, request)
    work = found.work
    if not found.is_live:
        again = f"; type `ramsterctl node uncordon {work.node}` to send pages there again"
        hint = again if work.kind is JobKind.DRAIN else ""
        raise CommandRefused(f"{found.id} has ended already: {found.outcome}{hint}")
    match work.kind:
        case JobKind.DRAIN:
            cordon_node(peers.members, {"name": work.node}, is_cordoned=False)
        case JobKind.VERIFY:
            if not work.order.by:
                raise CommandRefused(
                    f"{found.id} was not cancelled: ramsterd reads kept memory again after a start"
                )
            engine.cancel_check(of_tables=work.key.startswith(tables_key("")))
        case JobKind.REBUILD:
            raise CommandRefused(f"{found.id} was not cancelled: {_NO_REBUILD}")
        case JobKind.RECALL:
            why = _NO_RECALL_HOME if work.key == HOME else _NO_RECALL_AWAY
            raise CommandRefused(f"{found.id} was not cancelled: {why}")
    logger.info("an operator cancels %s", found.id, extra=about(_ENDED[work.kind], job=found.id))
    peers.settle()
    watch.look()
    return _plain(watch, found.statistics(watch.now()))


_ENDED: Final = {JobKind.DRAIN: EventKind.DRAIN_ENDED, JobKind.VERIFY: EventKind.JOB_ENDED}


def drain(watch: JobWatch, engine: Engine, members: Members, request: dict[str, object]) -> object:
    """Begin to drain the member `name`, and return the name of the job.

    With `dry_run` nothing changes: the answer says what would happen, after some calls that say
    that the node is asked.

    Raises:
        CommandRefused: No such member, a value is wrong, or the file can't be written.
    """
    if request.get("dry_run") is True:
        return _dry_run(watch, engine, members, request)
    result = drain_node(members, request, wall=watch.wall())
    watch.look()
    node = find_node(members, request)
    begun = watch.table.of(JobKind.DRAIN, drain_key(node))
    assert begun is not None, "a drain is a job as soon as it is looked at"
    said = to_plain(members.inquiries.drains_said()[NodeId(node.number)])
    assert isinstance(said, dict)
    return {**result, **said, "job": begun.id}


def _dry_run(
    watch: JobWatch, engine: Engine, members: Members, request: dict[str, object]
) -> object:
    node = find_node(members, request)
    said = members.inquiries.plan_drain(NodeId(node.number))
    if said.is_reached and said.pages_foreign is None:
        return {"state": "asking", "node": node.name}
    found = forecast(
        watch.statistics(),
        node.name,
        said,
        drain_warnings(members, node),
        copies_after=engine.copies_with(drained(members.cluster, node)),
    )
    plain = to_plain(found)
    assert isinstance(plain, dict)
    return {"state": "planned", **plain}


def verify(watch: JobWatch, engine: Engine, peers: Peers, request: dict[str, object]) -> object:
    """Begin to check every zpage here, and return the names of the jobs.

    With `invariants` also whether all tables agree, which is a job of its own.

    Raises:
        CommandRefused: The reason is wrong.
    """
    order = Order(watch.statistics().node, read_reason(request))
    keys = []
    if request.get("invariants") is True:
        watch.table.expect(JobKind.VERIFY, order)
        keys.append(tables_key(engine.begin_audit().audits_total))
        watch.look()
    watch.table.expect(JobKind.VERIFY, order)
    begun = engine.begin_scrub(now=trio.current_time())
    keys.append(pages_key(begun.scrubs_total))
    watch.look()
    peers.settle()
    found = [watch.table.of(JobKind.VERIFY, key) for key in keys]
    return {"jobs": [each.id for each in found if each is not None]}


def _find(watch: JobWatch, request: dict[str, object]) -> Job:
    name = request.get("id")
    found = watch.table.find(name) if isinstance(name, str) else None
    if found is None:
        raise CommandRefused(
            f"job: found {show(name)}, expected one of those that `ramsterctl jobs` shows"
        )
    return found


def _plain(watch: JobWatch, shown: JobStatistics) -> dict[str, object]:
    """Return a job as JSON has it: with dates, which a reader on another machine can use."""
    plain = to_plain(shown)
    assert isinstance(plain, dict)
    wall = watch.wall()
    left = shown.seconds_to_deadline
    ended = shown.ended_seconds
    return {
        **plain,
        "began_at": show_time(wall - shown.age_seconds),
        "ended_at": None if ended is None else show_time(wall - ended),
        "deadline_at": None if left is None else show_time(wall + left),
    }
