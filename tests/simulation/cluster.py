"""A cluster without tasks: real engines, peers, pagers and links; the wire, the clock and the memory are ours.

Each step is one event: a chunk arrives, or somebody's deadline has come.  One seeded `Random` chooses among the
events that are due, so a seed is a run.  Verdicts of the failure detector are given by the scenario, or, in a cluster
with `has_detector`, by the real one (`heartbeat`), which also links nodes by itself as their dialers would.
After each step the checkers of `checkers.py` look at the nodes that were touched.
"""

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio
from trio.testing import MockClock

from config.model import ClusterConfig, DaemonConfig, MemoryConfig, NodeConfig, RemoteConfig
from heartbeat.routes import normal_endpoint
from heartbeat.service import HeartbeatService
from heartbeat.swim import Swim
from net.dialer import is_dialer
from net.judgement import PROBE_SECONDS
from net.moves import Address
from net.peerlink import PeerLink
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState, Verdict
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import export_pool, program_pool
from ramsterd.core.slices import SLICE_UNITS
from ramsterd.core.store import Store
from ramsterd.frontends.pager import Pager, PagerClient
from ramsterd.host.loop_time import PAUSE_SECONDS_MIN
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.peers import Peers
from ramsterd.restart.node_memory import NodeMemory
from tests.helpers.kept_process import next_memory
from tests.helpers.node_memories import make_node_memory
from tests.simulation.datagrams import Datagrams, SimSocket
from tests.simulation.dialers import Dialer
from tests.simulation.paths import Paths
from tests.simulation.sim_time import SimTime, world_of
from tests.simulation.wire import End, NoTransport, OneWay

MIB = 1 << 20
BUDGET_BYTES = 2 * MIB
STEPS_MAX = 200_000
# Another link of the same nodes may have to be probed first.
GREETING_SECONDS = 0.1 + PROBE_SECONDS
# What a checker would find stays wrong, so it need not look after each step.
STEPS_PER_CHECK = 16
# Pages, rows, nodes and blocks that one node touches in one step (ramsterd.core.work): under 20 ms.
WORK_PER_STEP_MAX = 3 * SLICE_UNITS


def daemon_config(**knobs: float) -> DaemonConfig:
    """Return a small daemon; `knobs` are keys of [memory] and [remote]."""
    memory = MemoryConfig(budget=BUDGET_BYTES, budget_max=BUDGET_BYTES, pages_max=1 << 14)
    remote = RemoteConfig(copies=1)
    for name, value in knobs.items():
        if hasattr(memory, name):
            memory = replace(memory, **{name: value})  # type: ignore[arg-type]  # names are dynamic
        else:
            remote = replace(remote, **{name: value})  # type: ignore[arg-type]  # likewise
    if "budget" in knobs:
        memory = replace(memory, budget_max=memory.budget)
    return DaemonConfig(node="node0", cluster=Path("none"), memory=memory, remote=remote)


@dataclass(slots=True, eq=False)
class Node:
    """One incarnation of a node."""

    number: NodeId
    incarnation: Incarnation
    engine: Engine
    peers: Peers
    pager: Pager
    # For what a scenario does by itself.
    client: PagerClient
    pool: PoolId
    cache: PoolId
    # Persistent pages of a program, as behind the tmem socket.
    spill: PoolId
    is_paused: bool = False
    # When it was paused, and how much of the world's time its loop has not run in all.
    paused_at: float = 0.0
    behind: float = 0.0
    socket: SimSocket | None = None
    dialers: list[Dialer] = field(default_factory=list)
    # When in the world its page path has something to do, as long as none of its code has run: see `Cluster.inside`.
    alarm: float = math.inf
    # Where it listens, and when in the world it is where it was moved to.
    place: Address = ("", 0)
    moves_at: float = math.inf
    # What it had done when its alarm was looked at: `Cluster._check_work`.
    work_before: dict[str, int] = field(default_factory=dict)

    def next_alarm(self) -> float:
        """Return when its page path is next woken; it may do what is due before it must."""
        front_ends_at = self.peers.front_ends.next_deadline()
        at = self.engine.next_deadline()
        return world_of(at if front_ends_at is None else min(at, front_ends_at), self.behind)

    def has_done_nothing(self) -> bool:
        return self.engine.store.work.snapshot() == self.work_before

    def next_beat(self) -> float:
        """Return when its failure detector has something to do, as `HeartbeatService._watch` waits."""
        service = self.peers.heartbeat
        if service is None or self.socket is None:
            return math.inf
        return min(service._deadline(), self.socket.next_arrival())

    def beat(self, now: float) -> None:
        """Do what `HeartbeatService._watch` does when it wakes."""
        service = self.peers.heartbeat
        assert service is not None
        effects = service._receive(now)
        effects += service._detector.on_deadline(now=now)
        service._perform(effects)


@dataclass(frozen=True)
class Kept:
    """Of one node: the memory of its last process, and the store that this had in it."""

    memory: NodeMemory
    store: Store


class Cluster:
    """Nodes 0, 1, 2…, not linked yet; node n lives its first incarnation as incarnation 1."""

    def __init__(
        self,
        seed: int,
        clock: MockClock,
        *,
        nodes: int = 2,
        has_detector: bool = False,
        knobs: dict[int, dict[str, float]] | None = None,
        **knobs_of_all: float,
    ) -> None:
        self.rng = random.Random(seed)
        self.time = SimTime(clock)
        self.paths = Paths(self.rng, self.time)
        self.has_detector = has_detector
        # How long it takes at most until a machine has the address that its node was given.
        self.moving_seconds_max = 0.0
        # When, who judged, what.
        self.verdicts: list[tuple[float, NodeId, Verdict]] = []
        self._datagrams = Datagrams(self.paths)
        self._notes: list[tuple[float, int | None, str, str]] = []
        self.checks: list[Callable[[], None]] = []
        self._steps = 0
        # The most units of work that one node did in one step.
        self.most_work = 0
        self._configs = {
            NodeId(n): daemon_config(**{**knobs_of_all, **(knobs or {}).get(n, {})})
            for n in range(nodes)
        }
        self.config = ClusterConfig(
            name="sim",
            node=tuple(
                NodeConfig(number=n, name=f"node{n}", address="127.0.0.1", port=7700 + n)
                for n in range(nodes)
            ),
        )
        self.nodes: dict[NodeId, Node] = {}
        # What each node's cluster.toml says.
        self._files = dict.fromkeys(self._configs, self.config)
        self._memories: dict[NodeId, NodeMemory] = {}
        self._last_incarnations: dict[NodeId, Incarnation] = {}
        self.ends: list[End] = []
        # Nodes whose code has run since their alarms were looked at.
        self._touched: set[NodeId] = set()
        for number in self._configs:
            self._start(number, Incarnation(1))

    def __getitem__(self, number: int) -> Node:
        return self.nodes[NodeId(number)]

    @property
    def now(self) -> float:
        """The time of the world."""
        return self.time.now()

    def inside(self, number: int) -> AbstractContextManager[None]:
        """Run code of a node: it sees its own time.  Its alarms, and those of its links, change only so."""
        self._touched.add(NodeId(number))
        return self.time.of_node(self[number].behind)

    # Lives and links.

    def _start(self, number: NodeId, incarnation: Incarnation, kept: Kept | None = None) -> None:
        daemon = self._configs[number]
        rng = random.Random(self.rng.getrandbits(64))
        memory = (
            make_node_memory(daemon.memory, incarnation)
            if kept is None
            else next_memory(kept.memory, daemon.memory)
        )
        self._memories[number] = memory
        engine = Engine(
            daemon=daemon,
            cluster=self._files[number],
            local=number,
            incarnation=incarnation,
            kept=memory.pages,
            rng=rng,
        )
        peers = Peers(engine, self._files[number], transport=NoTransport(), rng=rng)
        pager = Pager(engine, peers, put_wait_seconds_max=daemon.remote.put_wait_seconds_max)
        pool = pager.new_pool(PoolKind.PERSISTENT, export_pool("export"))
        cache = pager.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
        spill = pager.new_pool(PoolKind.PERSISTENT, program_pool("spill"))
        if memory.is_attached:
            with self.time.of_node(0.0):
                engine.resume(now=trio.current_time())
        client = pager.open_client()
        node = Node(number, incarnation, engine, peers, pager, client, pool, cache, spill)
        ours = engine.nodes.local_config
        node.place = ours.address, ours.port
        self.nodes[number] = node
        self._last_incarnations[number] = incarnation
        self._touched.add(number)
        if self.has_detector:
            self._detect(node, rng)

    def memory(self, number: int) -> NodeMemory:
        """Return the memory of a node that runs."""
        return self._memories[self[number].number]

    def last_incarnation(self, number: int) -> int:
        """Return the incarnation of a node, or of its last incarnation if it is dead."""
        return self._last_incarnations[NodeId(number)]

    def budget(self, number: int) -> int:
        """Return the budget that a node starts with."""
        return self._configs[NodeId(number)].memory.budget

    def set_budget(self, number: int, budget_bytes: int) -> None:
        """Change a budget, as an operator does."""
        self.note(number, f"budget {budget_bytes}")
        with self.inside(number):
            self[number].engine.set_budget(budget_bytes, now=trio.current_time())
            self[number].peers.settle()

    def _detect(self, node: Node, rng: random.Random) -> None:
        """Give a node what `Peers.serve` gives it: a failure detector, and a dialer for each lower number."""
        ours = node.engine.nodes.local_config
        node.socket = self._datagrams.bind(node.number, normal_endpoint(ours.address, ours.port))
        node.peers.heartbeat = HeartbeatService(
            self._files[node.number],
            node.number,
            detector=Swim(
                node.engine.nodes.nodes(),
                node.number,
                node.incarnation,
                self.config.timers,
                now=self.now,
                rng=rng,
            ),
            datagram_socket=node.socket,
            on_verdicts=lambda verdicts: self._on_verdicts(node, verdicts),
            on_ask_link=node.peers.mesh.ask,
            attach_count=node.engine.attach_count,
            now=self.time.now,
        )
        node.dialers = [
            Dialer(
                node.number,
                target,
                node.peers.mesh,
                random.Random(rng.getrandbits(64)),
                self.now,
            )
            for target in node.engine.nodes.nodes()
            if is_dialer(node.number, target)
        ]

    def _follow_move(self, node: Node) -> None:
        """Draw when a node that was moved gets its new address, as a machine does at some time."""
        place = node.peers.addresses.book.own()
        if place is None or place == node.place:
            node.moves_at = math.inf
        elif node.moves_at == math.inf:
            node.moves_at = self.now + self.rng.uniform(0, self.moving_seconds_max)

    def _move(self, node: Node) -> None:
        """Do what `Addresses.follow` does."""
        place = node.peers.addresses.book.own()
        assert place is not None
        self.note(node.number, f"listens at {place[0]} port {place[1]} from now on")
        node.place, node.moves_at = place, math.inf
        if node.peers.heartbeat is not None:
            node.peers.heartbeat.listen_at([place[0]], place[1])

    def _on_verdicts(self, node: Node, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self.note(
                node.number,
                f"finds that {verdict.node}.{verdict.incarnation} is {verdict.state.value}",
            )
            self.verdicts.append((self.now, node.number, verdict))
        node.peers._on_verdicts(verdicts)

    def crash(self, number: int, *, is_silent: bool = False) -> None:
        """End an incarnation without a word; peers notice by the wires, unless its power is gone too (`is_silent`)."""
        self.note(number, "loses its power" if is_silent else "crash")
        for end in [end for end in self.ends if end.node == number]:
            self.ends.remove(end)  # its handler is dead: nobody is told on this side
            if not is_silent:
                end.outgoing.close()
                end.incoming.close()
        node = self.nodes.pop(NodeId(number))
        file = node.peers.members.cluster
        if node.number in {each.number for each in file.node}:  # else it gets that of a member
            self._files[node.number] = file
        if node.socket is not None:
            node.socket.close()
        self._end_broken()

    def start_again(self, number: int, incarnation: int) -> None:
        """Begin a new incarnation; its machine resets the connections of the old one."""
        self.note(number, f"starts again as {incarnation}")
        for end in self.ends:
            if end.link.node == number:
                end.incoming.close()
        self._start(NodeId(number), Incarnation(incarnation))
        self._end_broken()

    def end_kept(self, number: int, *, is_silent: bool = False) -> Kept:
        """End a process without a word, and return its memory, which somebody keeps; see `crash`."""
        node = self[number]
        self.crash(number, is_silent=is_silent)
        return Kept(self._memories[node.number], node.engine.store)

    def start_kept(self, number: int, kept: Kept) -> None:
        """Go on with kept memory, as the same incarnation, unlinked."""
        incarnation = kept.memory.incarnation
        self.note(number, f"goes on as {incarnation}, with its memory")
        self._start(NodeId(number), incarnation, kept)
        self._end_broken()

    def restart_kept(self, number: int) -> None:
        """End a process, and go on at once with its memory."""
        self.start_kept(number, self.end_kept(number))

    def copy_file(self, source: int, target: int) -> None:
        """Give a node that does not run the cluster file of another, as an operator does."""
        self._files[NodeId(target)] = self[source].peers.members.cluster

    def restart(self, number: int) -> None:
        """Crash and start again, unlinked."""
        incarnation = self[number].incarnation
        self.crash(number)
        self.start_again(number, incarnation + 1)

    def link(self, one: int, other: int) -> bool:
        """Wire two nodes and let them greet; return whether both accepted."""
        first, second = self._wire(self[max(one, other)], self[min(one, other)])
        self.note(one, f"dial {other}")
        self._start_link(first, second)
        self.run_until(lambda: first.is_open_or_over and second.is_open_or_over, GREETING_SECONDS)
        return not (first.is_over or second.is_over)

    def link_all(self) -> None:
        """Link every two nodes that are not linked."""
        for one in self.nodes:
            for other in self.nodes:
                if one < other and not self.is_wired(one, other):
                    self.link(one, other)

    def is_linked(self, one: int, other: int) -> bool:
        return NodeId(other) in self[one].peers.mesh.links

    def is_wired(self, one: int, other: int) -> bool:
        """Whether either side still believes in a link."""
        return self.is_linked(one, other) or self.is_linked(other, one)

    def _wire(self, dialer: Node, acceptor: Node) -> tuple[End, End]:
        there = OneWay(self.paths, dialer.number, acceptor.number)
        back = OneWay(self.paths, acceptor.number, dialer.number)
        first = self._end(dialer, back, there, expected=acceptor.number)
        second = self._end(acceptor, there, back, expected=None)
        return first, second

    def _start_link(self, first: End, second: End) -> None:
        for end in (first, second):
            with self.inside(end.node):
                end.start()

    def _end(self, node: Node, incoming: OneWay, outgoing: OneWay, expected: NodeId | None) -> End:
        with self.inside(node.number):
            link: PeerLink = node.peers.mesh._new_link(outgoing, expected=expected)
        end = End(node.number, link, incoming, outgoing)
        self.ends.append(end)
        return end

    # Faults.

    def pause(self, number: int) -> None:
        """Stop a node as SIGSTOP does: its connections stay open, and nobody answers."""
        self.note(number, "pause")
        self[number].is_paused = True
        self[number].paused_at = self.now

    def resume(self, number: int) -> None:
        """Let it go on: its loop finds that time has passed in which it did not run (`ramsterd.host.loop_time`)."""
        node = self[number]
        node.is_paused = False
        seconds = self.now - node.paused_at
        if seconds > PAUSE_SECONDS_MIN:
            node.behind += seconds
            self._touched.add(node.number)
        self.note(number, f"resume after {seconds:.1f} s")

    def end_of(self, node: int, peer: int) -> End:
        """Return a node's end of its link to a peer."""
        return next(end for end in self._ends_of(node) if end.link.node == peer)

    def _ends_of(self, node: int) -> list[End]:
        return [end for end in self.ends if end.node == node and not end.is_over]

    def cut(self, one: int, other: int) -> None:
        """Cut a link: all that is on its way is lost, and both sides notice."""
        self.note(one, f"cut from {other}")
        ends = [end for end in self._ends_of(one) if end.link.node == other]
        ends += [end for end in self._ends_of(other) if end.link.node == one]
        for end in ends:
            for way in (end.incoming, end.outgoing):
                way.chunks.clear()
                way.is_held = False
                way.close()
        self._end_broken()

    def reset_one_end(self, number: int, peer: int) -> None:
        """End a node's end of a link; the peer is not told, as when a firewall drops the RST."""
        end = self.end_of(number, peer)
        self.note(number, f"its end of the link to {peer} is reset")
        end.outgoing.is_held = True
        with self.inside(number):
            end.end("reset")
        self._end_broken()

    def hold(self, source: int, target: int) -> None:
        """Let nothing more of what `source` sends arrive at `target`, until `let_go`."""
        self.end_of(source, target).outgoing.is_held = True

    def let_go(self, source: int, target: int) -> None:
        self.end_of(source, target).outgoing.is_held = False

    def on_its_way(self, source: int, target: int) -> list[tuple[int, bool, int]]:
        """Return (type, is a reply, count) of each frame that has not arrived."""
        return self.end_of(source, target).outgoing.frames()

    def judge(self, observer: int, node: int, state: NodeState, incarnation: int = 1) -> None:
        """Let the failure detector of one node judge another."""
        self.note(observer, f"hears that {node}.{incarnation} is {state.value}")
        verdict = Verdict(NodeId(node), state, Incarnation(incarnation), "told by the scenario")
        with self.inside(observer):
            self[observer].peers._on_verdicts([verdict])

    # Time.

    def run(self, seconds: float) -> None:
        """Let everything happen that happens within so many seconds."""
        self.run_until(lambda: False, seconds)

    def run_until(self, is_reached: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Step until a condition holds; return whether it came to hold in time."""
        end_at = self.now + seconds
        for step in range(STEPS_MAX):
            if is_reached():
                return True
            if not step:
                self._touched.update(self.nodes)  # by the caller
            if not self.step(end_at):
                return is_reached()
        raise AssertionError(f"{STEPS_MAX} steps in {seconds} seconds: something spins")

    def step(self, until: float) -> bool:
        """Do one of the things that come next; False when none comes before `until`."""
        self._end_broken()
        self._look_at_touched()
        coming = self._coming(until)
        if not coming:
            self.time.jump_to(until)
            return False
        self.time.jump_to(min(at for at, _, _ in coming))
        now = self.now
        _, what, who = self.rng.choice([each for each in coming if each[0] <= now])
        self._do(what, who)
        self._check_work()
        self._end_broken()
        self._steps += 1
        if not self._steps % STEPS_PER_CHECK:
            self._check_alarms()
            for check in self.checks:
                check()
        return True

    def _coming(self, until: float) -> list[tuple[float, str, End | Node | Dialer]]:
        """Return what comes until then, and when; the order is always the same, so that a seed is a run."""
        coming: list[tuple[float, str, End | Node | Dialer]] = []
        awake = [node for node in self.nodes.values() if not node.is_paused]
        hearing = self.ends
        if len(awake) < len(self.nodes):
            hearing = [end for end in hearing if not self.nodes[end.node].is_paused]
        # Nothing is on its way to most of them: each step asks all.
        coming += [
            (at, "receive", end)
            for end in hearing
            if end.incoming.chunks and (at := end.incoming.next_arrival()) <= until
        ]
        coming += [(end.alarm, "deadline", end) for end in hearing if end.alarm <= until]
        coming += [(node.alarm, "clock", node) for node in awake if node.alarm <= until]
        if self.has_detector:
            coming += [(at, "beat", node) for node in awake if (at := node.next_beat()) <= until]
            coming += [
                (at, "dial", dialer)
                for node in awake
                for dialer in node.dialers
                if (at := dialer.next_try(node.behind)) <= until
            ]
        coming += [(node.moves_at, "move", node) for node in awake if node.moves_at <= until]
        return coming

    def _look_at_touched(self) -> None:
        """Ask for their alarms those whose code has run, and how much was done: most steps are of one node."""
        if not self._touched:
            return
        for end in self.ends:
            if end.node in self._touched:
                end.alarm = self._alarm_of(end)
        for number, node in self.nodes.items():
            if number in self._touched:
                node.alarm = node.next_alarm()
                node.work_before = node.engine.store.work.snapshot()
                self._follow_move(node)
        self._touched.clear()

    def _alarm_of(self, end: End) -> float:
        return world_of(end.next_deadline(), self.nodes[end.node].behind)

    def _check_alarms(self) -> None:
        """Assert that nobody's code has run but inside the node."""
        for node in self.nodes.values():
            assert node.number in self._touched or node.alarm == node.next_alarm()
            assert node.number in self._touched or node.has_done_nothing()
        for end in self.ends:
            assert end.node in self._touched or end.alarm == self._alarm_of(end)

    def _check_work(self) -> None:
        """Assert that no node touched more than one pass should: all that an event leads to is one pass."""
        for number in self._touched:
            if (node := self.nodes.get(number)) is None or node.has_done_nothing():
                continue
            work = node.engine.store.work
            units = work.total() - sum(node.work_before.values())
            self.most_work = max(self.most_work, units)
            assert units <= WORK_PER_STEP_MAX, (
                f"{units} units of work in one step, most of all {work.most_since(node.work_before)}"
            )

    def _do(self, what: str, who: "End | Node | Dialer") -> None:
        if isinstance(who, Dialer):
            self._dial(who)
            return
        number = who.node if isinstance(who, End) else who.number
        with self.inside(number):
            self._run(what, who)

    def _run(self, what: str, who: "End | Node") -> None:
        if isinstance(who, Node):
            self.note(who.number, what)
            if what == "beat":
                who.beat(self.now)
            elif what == "move":
                self._move(who)
            else:
                who.peers.on_deadline(trio.current_time())
        elif what == "receive":
            size = who.receive(self.rng, self.now)
            self.note(who.node, f"{what} {size} from {who.link.node}")
        else:
            who.on_deadline()
            self.note(who.node, f"{what} of the link to {who.link.node}")

    def _dial(self, dialer: Dialer) -> None:
        """Do what `net.dialer.dial_once` does."""
        node, target = self.nodes[dialer.node], self.nodes.get(dialer.target)
        if self.paths.is_cut(dialer.node, dialer.target):
            dialer.on_no_answer(self.now)
        elif target is None or target.place != node.peers.addresses.book.hosts()[target.number]:
            dialer.on_refused(self.now)
        else:
            self.note(dialer.node, f"dial {dialer.target}")
            first, second = self._wire(node, target)
            dialer.on_dialed(first, self.now)
            self._start_link(first, second)

    def _end_broken(self) -> None:
        """End links whose other side has gone, until no more follow."""
        if not any(end.may_be_broken for end in self.ends):
            return  # as nearly always
        while (broken := next(filter(self._is_broken, self.ends), None)) is not None:
            with self.inside(broken.node):
                broken.end_broken()
        for node in self.nodes.values():
            for dialer in node.dialers:
                dialer.look(self.now)
        self.ends = [end for end in self.ends if not end.is_over]

    def _is_broken(self, end: End) -> bool:
        return end.is_broken() and not self.nodes[end.node].is_paused

    def note(self, node: int | None, what: str, handle: str = "") -> None:
        """Add a line to the trace: when, who (None: the storm), what, and which page where that is known."""
        self._notes.append((self.now, node, what, handle))

    @property
    def trace(self) -> list[str]:
        """All lines: most runs show none."""
        return [
            f"{at:10.4f}  {'storm' if node is None else f'node{node}':<6}  {what:<44}  {handle}".rstrip()
            for at, node, what, handle in self._notes
        ]
