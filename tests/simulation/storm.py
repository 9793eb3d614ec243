"""A storm: programs and faults over a few nodes, as a seed draws them (`swarm`), then healing.

What is checked on the way: each answer by its client, tables against tables (`checkers`), bytes against promises
(`world`).  And when all is healed: the cluster is alive, agrees who is up, and no page is at risk.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from trio.testing import MockClock

from nodemanager.states import NodeState
from tests.simulation.checkers import check_books, check_invariants, check_step, check_trust
from tests.simulation.checking_clients import REST_SECONDS, Client
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.programs import WRITE_PAGES_MAX, Cache, Swap, Thrash
from tests.simulation.swarm import Mix, draw
from tests.simulation.world import World

STEPS: Final = 600
STEPS_PER_CHECK: Final = 40
WAIT_SECONDS: Final = (0.001, 0.01, 0.1, 0.6, 3.0)
LOAD_SECONDS: Final = 0.02
LOAD_CHANCE: Final = 0.7
LOAD_RUNS: Final = 4
# Suspicions, dials that back off, greetings that time out: all of it one after another.
AGREE_SECONDS_MAX: Final = 180.0
RISK_SECONDS_MAX: Final = 180.0
# Of the memory that is left, what the programs keep until no page is at risk.
KEPT_FRACTION: Final = 0.25
PAGE_BYTES_KEPT: Final = 2048


@dataclass(slots=True)
class Storm:
    """One cluster in one storm; `faults.Lives`."""

    cluster: Cluster
    mix: Mix
    rng: random.Random
    programs: dict[int, list[Swap | Cache | Thrash]] = field(default_factory=dict)
    # What clients of incarnations that are over have seen.
    seen: Counter[str] = field(default_factory=Counter)
    world: World = field(init=False)
    faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.cluster)
        self.faults = Faults(self.cluster, self.world, self, self.rng)
        self.cluster.note(None, str(self.mix))
        for number in self.cluster.nodes:
            self.on_started(number)

    # Who uses the nodes.

    def clients(self) -> list[Client]:
        return [program.client for programs in self.programs.values() for program in programs]

    def on_gone(self, number: int) -> None:
        for program in self.programs.pop(number, ()):
            self.seen += program.client.seen
            # It asked holders to forget its pages: what it asked for before may be lost.
            program.client.expect_loss(set(program.client.possible))

    def on_started(self, number: int) -> None:
        if drawn := self.mix.programs.get(number):
            self.programs[number] = [
                program.kind(
                    self.cluster,
                    number,
                    random.Random(self.rng.getrandbits(64)),
                    program.pages,
                )
                for program in drawn
            ]

    # The storm.

    def run(self, steps: int) -> None:
        """Run to the end, and check all on the way."""
        if not self.mix.has_detector:
            self.cluster.link_all()
        self.cluster.run(1.0)
        self._load()
        happenings: list[Callable[[], None]] = [self._act, self._wait]
        happenings += [partial(self._happen, name) for name in self.mix.faults]
        weights = [2.0, self.mix.wait_weight, *self.mix.faults.values()]
        for step in range(steps):
            (happening,) = self.rng.choices(happenings, weights)
            happening()
            if not step % STEPS_PER_CHECK:
                self.check()
        self.check()
        self._calm()

    def check(self) -> None:
        """Assert what must hold at any time."""
        check_step(self.cluster)
        check_invariants(self.cluster)
        self.world.check(self._persistent())
        check_trust(self.cluster)

    def _persistent(self) -> list[Client]:
        return [client for client in self.clients() if not client.is_cache]

    def _load(self) -> None:
        """Let the programs put what they begin with."""
        pages_max = max(program.pages for each in self.programs.values() for program in each)
        for _ in range(0, pages_max, WRITE_PAGES_MAX):
            for programs in self.programs.values():
                for program in programs:
                    program.load()
            self.cluster.run(LOAD_SECONDS)

    def _act(self) -> None:
        awake = [n for n in self.programs if not self.cluster[n].is_paused]
        if not awake:
            return
        program = self.rng.choice(self.programs[self.rng.choice(awake)])
        # A new incarnation has nothing: mostly it begins by filling its memory again.
        if self.rng.random() < LOAD_CHANCE and program.load():
            for _ in range(LOAD_RUNS - 1):
                program.load()
            return
        program.act()

    def _wait(self) -> None:
        self.cluster.run(self.rng.choice(WAIT_SECONDS))

    def _happen(self, name: str) -> None:
        self.seen[name] += 1
        fault: Callable[[], None] = getattr(self.faults, name)
        fault()

    # The calm.

    def _calm(self) -> None:
        """Heal all but some of the dead; then the cluster is alive, and what it counts is right."""
        self._heal()
        assert self.cluster.run_until(self._is_agreed, AGREE_SECONDS_MAX), self._disagreement()
        self._take_back()
        self.cluster.run(REST_SECONDS)
        for client in self.clients():
            assert not client.gets, "a get that nobody answers"
            assert not client.puts, "a put that nobody answers"
            client.expects_unreachable = False
        self._rest()
        self._make_room()
        assert self.cluster.run_until(lambda: not self._at_risk(), RISK_SECONDS_MAX), (
            f"pages stay at risk: {self._at_risk()}"
        )
        self._rest()
        at_risk = self.world.check(self._persistent())
        # With too few nodes left for all copies they are at risk for good, and known to be.
        nodes = self.cluster.nodes.values()
        said = sum(node.engine.statistics().rebuild.pages_at_risk for node in nodes)
        assert at_risk <= said, f"{at_risk} pages have fewer copies than asked, {said} are said to"

    def _heal(self) -> None:
        self.cluster.note(None, "calm")
        self.faults.heal()
        for number, node in self.cluster.nodes.items():
            if node.is_paused:
                self.cluster.resume(number)
            self.cluster.set_budget(number, self.cluster.budget(number))
        stays_dead = self.rng.random() < 0.5
        for dead in [] if stays_dead else self.faults.dead():
            self.faults.start(dead)
        if not self.mix.has_detector:
            self._tell()

    def _tell(self) -> None:
        """Do what detector and dialers would."""
        self.cluster.run(REST_SECONDS)
        self.cluster.link_all()
        for dead in self.faults.dead():
            for number in self.cluster.nodes:
                self.cluster.judge(
                    number, dead, NodeState.DOWN, self.cluster.last_incarnation(dead)
                )
        self.cluster.run(REST_SECONDS)
        self.cluster.link_all()

    def _take_back(self) -> None:
        """Nobody is to be drained any more.  What was on its way when all was healed has arrived by now."""
        self.cluster.run(REST_SECONDS)
        at = min(self.cluster.nodes)
        for config in self.cluster[at].peers.members.cluster.node:
            if config.draining:
                self.faults.take_back(at, config.name)
        self.cluster.run(REST_SECONDS)
        versions = {each.peers.members.cluster for each in self.cluster.nodes.values()}
        assert len(versions) == 1, "nodes differ about who is a member"
        assert not any(config.draining for config in versions.pop().node)

    def _is_agreed(self) -> bool:
        return not self._disagreement()

    def _disagreement(self) -> str:
        """Return who is wrong about whom; empty: all agree who is up, and those are linked."""
        for number, node in self.cluster.nodes.items():
            table = node.engine.nodes
            for other in table.nodes():
                alive = self.cluster.nodes.get(other)
                state, incarnation = table.state(other), table.incarnation(other)
                if alive is None:
                    is_right = state in {NodeState.DOWN, NodeState.LEFT}
                else:
                    is_right = state in {NodeState.UP, NodeState.DRAINING}
                    is_right = is_right and incarnation == alive.incarnation
                    is_right = is_right and table.is_linked(other)
                if not is_right:
                    return f"node {number} believes {other}.{incarnation} {state.value}"
        return ""

    def _rest(self) -> None:
        for client in self.clients():
            client.read_all()
        self.cluster.run(REST_SECONDS)
        self.check()
        check_books(self.cluster)

    def _make_room(self) -> None:
        """Let the programs keep so little that there is room for each copy, and nothing that is lost."""
        memory = sum(self.cluster.budget(number) for number in self.cluster.nodes)
        kept_pages = int(KEPT_FRACTION * memory / PAGE_BYTES_KEPT / self.mix.knobs["copies"])
        clients = self.clients()
        for client in clients:
            good = [index for index in client.indexes if index not in client.losable]
            kept = set(good[: kept_pages // len(clients)])
            for index in client.indexes:
                if index not in kept:
                    client.flush(index)

    def _at_risk(self) -> dict[int, int]:
        """Return how many pages each node says are at risk, if there are enough peers."""
        if len(self.cluster.nodes) <= self.mix.knobs["copies"]:
            return {}
        at_risk = {
            number: node.engine.statistics().rebuild.pages_at_risk
            for number, node in self.cluster.nodes.items()
        }
        return {number: pages for number, pages in at_risk.items() if pages}


def make_storm(seed: int, clock: MockClock) -> Storm:
    """Return the storm of a seed, before its first step."""
    rng = random.Random(f"storm {seed}")
    mix = draw(rng)
    cluster = Cluster(
        seed,
        clock,
        nodes=len(mix.budgets),
        has_detector=mix.has_detector,
        knobs={number: {"budget": budget} for number, budget in enumerate(mix.budgets)},
        **mix.knobs,
    )
    return Storm(cluster, mix, rng)
