"""Storms with a liar among the nodes: whatever it does, daemons live, no page is wrong, and all requests end."""

import random

from trio.testing import MockClock

from tests.simulation.checkers import check_invariants
from tests.simulation.checking_clients import REST_SECONDS
from tests.simulation.cluster import MIB, Cluster
from tests.simulation.liars import LIES, MANNERS, Liar
from tests.simulation.programs import Cache, Swap, Thrash

STEPS = 250
STEPS_PER_CHECK = 25
LIAR = 1
PROGRAMS: tuple[type[Swap | Cache | Thrash], ...] = (Swap, Cache, Thrash)
WAIT_SECONDS = (0.001, 0.01, 0.1, 0.6, 3.0)


class LyingStorm:
    """A few nodes, one of which lies, and programs on the others."""

    def __init__(self, seed: int, clock: MockClock) -> None:
        self.rng = rng = random.Random(f"liar {seed}")
        nodes = rng.randint(3, 5)
        self.cluster = Cluster(
            seed,
            clock,
            nodes=nodes,
            knobs={n: {"budget": rng.choice([2, 4]) * MIB} for n in range(nodes)},
            copies=rng.choice([1, 2, 2]),
            request_seconds_max=1.0,
            fetch_seconds_max=3.0,
            put_wait_seconds_max=2.0,
            ephemeral=True,
            puts_in_flight_max=rng.choice([1, 4]),
        )
        self.cluster.link_all()
        self.cluster.run(1)
        self.liar = Liar(self.cluster[LIAR], rng)
        self.programs = [
            kind(self.cluster, number, random.Random(rng.getrandbits(64)), rng.randint(600, 2000))
            for number in range(nodes)
            if number != LIAR
            for kind in rng.sample(PROGRAMS[::2], 1) + [Cache] * rng.randint(0, 1)
        ]

    def run(self) -> None:
        """Lie, cut, restart and use pages, in any order; then be honest."""
        for step in range(STEPS):
            happening = self.rng.choices(
                [self._act, self._wait, self._lie, self._cut, self._restart],
                [6.0, 1.0, 0.1, 0.05, 0.02],
            )[0]
            happening()
            if not step % STEPS_PER_CHECK:
                check_invariants(self.cluster)
        self.liar.repents()
        for _ in range(3):
            self.cluster.run(REST_SECONDS)
            self.cluster.link_all()
        check_invariants(self.cluster)
        for program in self.programs:
            assert not program.client.gets, "a get that nobody answers"
            assert not program.client.puts, "a put that nobody answers"

    def _act(self) -> None:
        program = self.rng.choice(self.programs)
        if not program.load():
            program.act()
        if not program.client.is_cache:
            # With one copy any page may be lost, with two some: a restart and a lie together take both.
            program.client.expect_loss(set(program.client.possible))

    def _wait(self) -> None:
        self.cluster.run(self.rng.choice(WAIT_SECONDS))

    def _lie(self) -> None:
        self.liar.repents()
        for lie in self.rng.sample(LIES, 2) + self.rng.sample(MANNERS, self.rng.randint(0, 1)):
            self.cluster.note(LIAR, lie)
            getattr(self.liar, lie)()

    def _cut(self) -> None:
        one, other = self.rng.sample(sorted(self.cluster.nodes), 2)
        if self.cluster.is_wired(one, other):
            self.cluster.cut(one, other)
        self.cluster.link_all()

    def _restart(self) -> None:
        self.cluster.restart(LIAR)
        self.cluster.link_all()
        self.liar = Liar(self.cluster[LIAR], self.rng)


async def test_storm_with_a_liar(seed: int, mock_clock: MockClock) -> None:
    LyingStorm(seed, mock_clock).run()
