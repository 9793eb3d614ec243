"""Owners that start again without their pages, while clients connect again: never zeros, never older.

The state file is written by an oracle of a disk: a write of it takes a while, may fail, and may have happened even so;
a crash leaves either text.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from trio.testing import MockClock

from ramsterd.core.page import PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.statefile.content import Content, encode, parse
from ramsterd.statefile.marks import Marks
from tests.simulation.cluster import Cluster, Node
from tests.simulation.disks import Disk, DiskClient
from tests.simulation.pages import OBJECT

OWNER: Final = 0
DISKS: Final = ("a", "b")
CLIENTS_OF_DISK: Final = 2
# More than the owner has memory for: pages travel, and copies of an earlier incarnation are there to be confused with.
PAGES: Final = 1024
STEPS: Final = 600


@dataclass(slots=True)
class Scene:
    """An owner and a holder, two disks with clients, and the disk of the state file."""

    cluster: Cluster
    rng: random.Random
    # Every text that may stand on it; the last is the one of the write under way.
    texts: list[bytes] = field(default_factory=lambda: [encode(Content())])
    seen: Counter[str] = field(default_factory=Counter)
    disks: list[Disk] = field(init=False)
    clients: dict[tuple[str, int], DiskClient] = field(default_factory=dict)
    marks: Marks = field(init=False)
    exports: dict[str, Export] = field(init=False)
    counters: Counters = field(init=False)
    is_writing: bool = False
    generations: int = 0

    def __post_init__(self) -> None:
        self.disks = [Disk(number, name, PAGES) for number, name in enumerate(DISKS, start=1)]
        self.begin_incarnation()

    @property
    def node(self) -> Node:
        return self.cluster[OWNER]

    def begin_incarnation(self) -> None:
        self.marks = Marks(parse(self.texts[0]), new_generation=self._new_generation, started_at=1)
        self.is_writing = False
        self.counters = Counters()
        self.exports = {
            disk.name: Export(
                name=disk.name,
                size=PAGES * 4096,
                pool=self.node.pager.new_pool(PoolKind.PERSISTENT, program_pool(disk.name)),
                object_id=OBJECT,
                mark=self.marks.of(disk.name),
            )
            for disk in self.disks
        }

    def _new_generation(self) -> str:
        self.generations += 1
        return f"{self.generations:032x}"

    # What happens.

    def restart(self) -> None:
        """The owner dies, at any point of a write of its state file, and starts without a page."""
        for client in self.clients.values():
            client.close()
        self.clients.clear()
        self.texts = [self.rng.choice(self.texts)]
        self.cluster.restart(OWNER)
        self.begin_incarnation()
        self.cluster.link(0, 1)
        self.seen["restarts"] += 1

    def connect(self) -> None:
        """A client connects, perhaps one that was here in an earlier incarnation of the owner."""
        self.connect_to(self.rng.choice(self.disks), self.rng.randrange(CLIENTS_OF_DISK))

    def connect_to(self, disk: Disk, place: int) -> None:
        if (disk.name, place) in self.clients:
            return
        size = PAGES // CLIENTS_OF_DISK
        own = range(place * size, (place + 1) * size)
        export = self.exports[disk.name]
        client = DiskClient(disk, own, self.node, export, self.counters, self.seen)
        if not client.is_open:
            assert export.mark.is_lost
            self.seen["refused"] += 1
            return
        if self.node.engine.store.objects_of(export.pool) == 0:
            assert disk.may_be_blank, f"{disk.name} is served as a blank disk"
        self.clients[disk.name, place] = client
        client.read_all()

    def vanish(self) -> None:
        """A client goes away, also while its first write waits for the state file."""
        idle = [key for key, client in self.clients.items() if not client.in_flight_count]
        if idle:
            self.clients.pop(self.rng.choice(idle)).close()

    def reset(self) -> None:
        """An operator makes blank what is lost."""
        disk = self.rng.choice(self.disks)
        if self.marks.reset(disk.name):
            disk.make_blank()
            self.seen["resets"] += 1

    def act(self) -> None:
        for client in self.clients.values():
            client.act(self.rng)

    def trim(self) -> None:
        disk = self.rng.choice(self.disks)
        for (name, _), client in self.clients.items():
            if name == disk.name:
                client.trim_all()

    def begin_write(self) -> None:
        if self.is_writing:
            return
        content = self.marks.next_write(now=self.cluster.now)
        if content is not None:
            self.texts.append(encode(content))
            self.is_writing = True

    def end_write(self) -> None:
        if self.is_writing:
            self._end_write(is_good=self.rng.random() < 0.8)

    def _end_write(self, *, is_good: bool) -> None:
        self.is_writing = False
        if is_good:
            self.texts = self.texts[-1:]
        else:
            self.seen["failed"] += 1
        self.marks.on_written("" if is_good else "broken", now=self.cluster.now)

    def write_well(self) -> None:
        """Write all that is to be written."""
        self.begin_write()
        while self.is_writing:
            self._end_write(is_good=True)
            self.begin_write()

    def clear_emptied(self) -> None:
        """What `restart.emptied` does each second."""
        if self.counters.in_flight_count:
            return
        for export in self.exports.values():
            if export.mark.is_set and not self.node.pager.objects_of(export.pool):
                export.mark.clear()
                self.seen["cleared"] += 1

    def wait(self) -> None:
        self.cluster.run(self.rng.choice([0.001, 0.01, 0.1, 1.0]))

    def step(self, weights: dict[str, float]) -> None:
        (name,) = self.rng.choices(list(weights), list(weights.values()))
        getattr(self, name)()
        self.serve()
        self.marks.check_invariants()

    def serve(self) -> None:
        for client in self.clients.values():
            client.serve()


WEIGHTS: Final = {
    "act": 40.0, "wait": 20.0, "connect": 12.0, "begin_write": 12.0, "end_write": 12.0,
    "clear_emptied": 3.0, "reset": 4.0, "restart": 1.0, "vanish": 1.0, "trim": 0.5,
}  # fmt: skip


def run(seed: int, clock: MockClock, weights: dict[str, float]) -> Scene:
    rng = random.Random(f"restarts {seed}")
    cluster = Cluster(seed, clock)
    cluster.link(0, 1)
    scene = Scene(cluster, rng)
    for _ in range(STEPS):
        scene.step(weights)
    return scene


def check_all_reached(scene: Scene) -> None:
    """What this is about has happened: connections refused for a loss, and pages of an incarnation after it."""
    scene.restart()
    for _ in range(STEPS):
        if scene.seen["refused"] and scene.seen["resets"]:
            break
        scene.step(WEIGHTS)
    for what in ("restarts", "refused", "resets", "changed", "read", "blank"):
        assert scene.seen[what], f"no {what} in {scene.seen}"


def calm(scene: Scene) -> None:
    """No more faults: every client gets an answer, and what is there is right."""
    for _ in range(2):
        scene.cluster.run(2.0)
        scene.write_well()
        scene.serve()
    for client in scene.clients.values():
        client.read_all()
    scene.cluster.run(30.0)
    scene.serve()
    for client in scene.clients.values():
        assert not client.is_waiting, "a request that nobody answers"


async def test_no_restart_serves_zeros_or_an_older_version(
    seed: int, mock_clock: MockClock
) -> None:
    scene = run(seed, mock_clock, WEIGHTS)
    calm(scene)
    check_all_reached(scene)


async def test_a_disk_that_was_emptied_opens_again_after_a_restart(
    seed: int, mock_clock: MockClock
) -> None:
    """To fail closed is no excuse for closing what is blank."""
    scene = run(seed, mock_clock, {**WEIGHTS, "restart": 0.0})
    for disk in scene.disks:
        for place in range(CLIENTS_OF_DISK):
            scene.connect_to(disk, place)
    calm(scene)
    for client in scene.clients.values():
        client.trim_all()
    scene.serve()
    scene.clear_emptied()
    scene.write_well()
    scene.restart()
    assert not scene.marks.losses()
    scene.connect()
    assert scene.clients
