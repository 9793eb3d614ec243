"""A storm: random operations and faults over a few nodes, then healing.

Each seed draws its own mix (a swarm): a storm that never crashes a node fills its peers, one that never cuts a
link has long queues.  What may be lost is noted before each fault, so the clients can judge what they get.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from trio.testing import MockClock

from nodemanager.states import NodeState
from ramsterd.core.page import PoolKind
from tests.simulation.checkers import check_books, check_invariants, check_step
from tests.simulation.cluster import BUDGET_BYTES, Cluster
from tests.simulation.workload import REST_SECONDS, Client

INDEXES = 1400
STEPS_PER_CHECK = 20


@dataclass(slots=True)
class Storm:
    """Three nodes, a client on each, and what can happen to them."""

    cluster: Cluster
    rng: random.Random
    clients: dict[int, Client] = field(default_factory=dict)
    caches: dict[int, Client] = field(default_factory=dict)
    crashes: int = 0

    def __post_init__(self) -> None:
        for number in self.cluster.nodes:
            self._connect(number)

    def _connect(self, number: int) -> None:
        self.clients[number] = Client(self.cluster, number, expects_unreachable=True)
        self.caches[number] = Client(self.cluster, number, kind=PoolKind.EPHEMERAL)

    def pair(self) -> tuple[int, int]:
        one, other = self.rng.sample(sorted(self.clients), 2)
        return one, other

    def client(self) -> Client | None:
        """Return a client whose node is not paused."""
        awake = [each for each in self.clients.values() if not each.node.is_paused]
        return self.rng.choice(awake) if awake else None

    # Operations.

    def put(self) -> None:
        if (client := self.client()) is not None and len(client.puts) < 8:
            client.put(self.rng.randrange(INDEXES), self.rng.choice([1, 4, 16, 64]))

    def get(self) -> None:
        if (client := self.client()) is not None:
            client.get(self.rng.randrange(INDEXES), self.rng.choice([1, 1, 4, 16]))

    def flush(self) -> None:
        if (client := self.client()) is not None:
            client.flush_unless_put(self.rng.randrange(INDEXES), self.rng.choice([1, 8, 64]))

    def cache(self) -> Client | None:
        client = self.client()
        return None if client is None else self.caches[client.number]

    def cache_put(self) -> None:
        if (cache := self.cache()) is not None:
            cache.put(self.rng.randrange(INDEXES), self.rng.choice([1, 16, 64, 64]))

    def cache_get(self) -> None:
        if (cache := self.cache()) is not None:
            cache.get(self.rng.randrange(INDEXES), self.rng.choice([1, 4, 16]))

    def cache_take(self) -> None:
        """Flush some, as the second half of an exclusive get does."""
        if (cache := self.cache()) is not None:
            cache.flush(self.rng.randrange(INDEXES), self.rng.choice([1, 4, 16]))

    def wait(self) -> None:
        self.cluster.run(self.rng.choice([0.001, 0.01, 0.1, 0.6]))

    # Faults.

    def cut(self) -> None:
        one, other = self.pair()
        if self.cluster.is_wired(one, other):
            self.cluster.cut(one, other)

    def link(self) -> None:
        one, other = self.pair()
        if not self.cluster.is_wired(one, other):
            self.cluster.link(one, other)

    def hold(self) -> None:
        if self.cluster.ends:
            self.rng.choice(self.cluster.ends).outgoing.is_held = True

    def let_go(self) -> None:
        for end in self.cluster.ends:
            end.outgoing.is_held = False

    def pause(self) -> None:
        one, _ = self.pair()
        self.cluster[one].is_paused = not self.cluster[one].is_paused

    def down(self) -> None:
        one, other = self.pair()
        if not self.cluster.is_linked(one, other):
            incarnation = self.cluster[other].incarnation
            self.cluster.judge(one, other, NodeState.DOWN, incarnation)

    def flip(self) -> None:
        """Damage one zpage that a holder keeps."""
        owner, holder = self.pair()
        client = self.rng.choice([self.clients[owner], self.caches[owner]])
        kept = client.kept(holder)
        if kept:
            index = self.rng.choice(kept)
            client.expect_loss({index})
            (row,) = client.foreign_rows(holder, [index])
            store = self.cluster[holder].engine.store
            store.zbud.arena[store.zbud.offset(store.rows.location(row))] ^= 1

    def resize(self) -> None:
        """Change a budget, both ways, as an operator does."""
        number, _ = self.pair()
        node = self.cluster[number]
        budget_bytes = BUDGET_BYTES * self.rng.randint(2, 4) // 4
        self.cluster.note(number, f"budget {budget_bytes}")
        node.engine.set_budget(budget_bytes, now=self.cluster.now)
        node.peers.settle()

    def crash(self) -> None:
        number, _ = self.pair()
        for owner, client in self.clients.items():
            if owner != number:
                client.on_holder_lost(number)
        self.cluster.restart(number)
        self._connect(number)
        self.crashes += 1

    def heal(self) -> None:
        """Wake everybody, let everything go, link everything."""
        for node in self.cluster.nodes.values():
            node.is_paused = False
        self.let_go()
        self.cluster.run(0.1)
        self.cluster.link_all()


def storm(seed: int, clock: MockClock, *, steps: int) -> Cluster:
    """Run one storm to its end, and check all on the way; return the cluster, for its trace."""
    rng = random.Random(f"storm {seed}")
    cluster = Cluster(
        seed,
        clock,
        nodes=3,
        request_seconds_max=1.0,
        fetch_seconds_max=3.0,
        put_wait_seconds_max=2.0,
        gets_in_flight_max=rng.choice([1, 3, 32]),
        puts_in_flight_max=rng.choice([1, 4]),
        copies=rng.choice([1, 2]),
        rebuild_pages_per_second=rng.choice([200, 10_000]),
        repatriate_seconds=rng.choice([0.5, 15.0]),
        repatriate_pages_per_second=rng.choice([0, 500, 5000]),
        ephemeral=rng.random() < 0.8,
    )
    weather = Storm(cluster, rng)
    cluster.link_all()
    faults = [weather.cut, weather.link, weather.hold, weather.let_go, weather.pause]
    faults += [weather.down, weather.flip, weather.crash, weather.heal, weather.resize]
    mix: list[tuple[Callable[[], None], float]] = [
        (weather.put, 1.0), (weather.get, 1.0), (weather.flush, 0.2), (weather.wait, 0.7),
    ]  # fmt: skip
    if rng.random() < 0.7:
        mix += [(weather.cache_put, 1.0), (weather.cache_get, 1.0), (weather.cache_take, 0.2)]
    mix += [(fault, rng.choice([0.0, 0.02, 0.1])) for fault in faults]
    happenings, weights = [each for each, _ in mix], [weight for _, weight in mix]
    for step in range(steps):
        (happening,) = rng.choices(happenings, weights)
        cluster.note(0, f"STORM {happening.__name__}")
        happening()
        if not step % STEPS_PER_CHECK:
            check_step(cluster)
            check_invariants(cluster)
    calm(weather)
    return cluster


def calm(weather: Storm) -> None:
    """Heal, rest, and show that the cluster is alive: every get is answered, nothing is left under way."""
    cluster = weather.cluster
    weather.heal()
    cluster.run(REST_SECONDS)
    weather.heal()
    clients = [*weather.clients.values(), *weather.caches.values()]
    for client in clients:
        assert not client.gets, "a get that nobody answers"
        assert not client.puts, "a put that nobody answers"
        client.expects_unreachable = False
    for client in clients:
        client.read_all()
    cluster.run(REST_SECONDS)
    check_books(cluster)
