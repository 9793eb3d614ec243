"""What can happen to a cluster.  Each fault draws its victims, and what it destroys is noted in the `World`."""

import random
from dataclasses import dataclass
from typing import Final, Protocol

from nodemanager.states import NodeState
from ramsterd.admin.node_commands import cordon_node, drain_node
from ramsterd.core.codec import zpage_bytes
from tests.simulation.checking_clients import Client
from tests.simulation.cluster import Cluster
from tests.simulation.world import World

SLOW_SECONDS: Final = (0.02, 0.2, 1.0)
LOSS_FRACTIONS: Final = (0.02, 0.2)
# A farewell is on its way for so long before the process is gone.
FAREWELL_SECONDS: Final = 0.05
FLIPS_MAX: Final = 16
FULL_FRACTIONS: Final = (0.25, 0.5, 0.75)


class Incarnations(Protocol):
    """Who uses the nodes: told of each that is gone and of each that is new."""

    def clients(self) -> list[Client]: ...

    def on_gone(self, number: int) -> None: ...

    def on_started(self, number: int) -> None: ...


@dataclass(slots=True)
class Faults:
    """All faults; each method is one, or the end of one."""

    cluster: Cluster
    world: World
    lives: Incarnations
    rng: random.Random
    # So many nodes stay alive, whatever is drawn.
    alive_min: int = 2
    happened: int = 0

    def _node(self) -> int:
        return self.rng.choice(sorted(self.cluster.nodes))

    def _pair(self) -> tuple[int, int]:
        one, other = self.rng.sample(range(len(self.cluster.config.node)), 2)
        return one, other

    # The network.

    def cut(self) -> None:
        """A connection is reset; it may be made again at once."""
        one, other = self._pair()
        if {one, other} <= self.cluster.nodes.keys() and self.cluster.is_wired(one, other):
            self.cluster.cut(one, other)

    def half_open(self) -> None:
        """One end of a connection is reset, and the other is not told."""
        one, other = self._pair()
        nodes = self.cluster.nodes
        # Without dialers nobody would make it whole.
        if not self.cluster.has_detector or not {one, other} <= nodes.keys():
            return
        if self.cluster.is_linked(one, other):
            self.cluster.reset_one_end(one, other)

    def link(self) -> None:
        """Without a detector there are no dialers either."""
        one, other = self._pair()
        nodes = self.cluster.nodes
        if self.cluster.has_detector or not {one, other} <= nodes.keys():
            return
        if not self.cluster.is_wired(one, other) and not self.cluster.paths.is_cut(one, other):
            self.cluster.link(one, other)

    def part(self) -> None:
        """Nothing gets through between two nodes."""
        one, other = self._pair()
        self.cluster.note(one, f"no path to {other}")
        self.cluster.paths.block(one, other)

    def isolate(self) -> None:
        """Nothing gets through between a node and all others."""
        number = self._node()
        self.cluster.note(number, "no path to anybody")
        for other in range(len(self.cluster.config.node)):
            if other != number:
                self.cluster.paths.block(number, other)

    def clog(self) -> None:
        """Nothing gets through one way."""
        one, other = self._pair()
        self.cluster.note(one, f"clogged towards {other}")
        self.cluster.paths.blocked.add((one, other))

    def slow(self) -> None:
        """A node or one direction is slow."""
        one, other = self._pair()
        seconds = self.rng.choice(SLOW_SECONDS)
        if self.rng.random() < 0.5:
            self.cluster.note(one, f"slow by {seconds:g} s")
            self.cluster.paths.slow_nodes[one] = seconds
        else:
            self.cluster.note(one, f"slow by {seconds:g} s towards {other}")
            self.cluster.paths.slow_paths[one, other] = seconds

    def lossy(self) -> None:
        """Datagrams are lost."""
        self.cluster.paths.loss_fraction = self.rng.choice(LOSS_FRACTIONS)
        self.cluster.note(None, f"datagrams lost: {self.cluster.paths.loss_fraction:g}")

    def heal(self) -> None:
        """All of the above is over."""
        self.cluster.note(None, "the network is whole")
        self.cluster.paths.heal()

    # Nodes.

    def pause(self) -> None:
        """SIGSTOP, or SIGCONT."""
        number = self._node()
        if self.cluster[number].is_paused:
            self.cluster.resume(number)
        else:
            self.cluster.pause(number)

    def crash(self) -> None:
        """A node dies and stays dead: its process, or its whole machine without a word."""
        if len(self.cluster.nodes) > self.alive_min:
            self._die(self._node(), is_silent=self.rng.random() < 0.5)

    def restart(self) -> None:
        """A dead node begins its next incarnation; if none is dead, one dies for it."""
        dead = self.dead()
        if not dead:
            dead = [self._node()]
            self._die(dead[0], is_silent=False)
        self.start(self.rng.choice(dead))

    def leave(self) -> None:
        """A node stops in order: it takes its own pages along, and says so."""
        number = self._node()
        if len(self.cluster.nodes) <= self.alive_min or self.cluster[number].is_paused:
            return
        self.cluster.note(number, "says farewell")
        self.lives.on_gone(number)
        with self.cluster.inside(number):
            self.cluster[number].engine.farewell()
            self.cluster[number].peers.settle()
        self.cluster.run(FAREWELL_SECONDS)
        self._die(number, is_silent=False)

    def drain(self) -> None:
        """An operator empties a node, or takes it back, at any node that is awake."""
        awake = [n for n, node in self.cluster.nodes.items() if not node.is_paused]
        if not awake:
            return
        at = self.rng.choice(sorted(awake))
        config = self.rng.choice(self.cluster[at].peers.members.cluster.node)
        if config.draining:
            self.take_back(at, config.name)
        else:
            self.cluster.note(at, f"drains {config.name}")
            with self.cluster.inside(at):
                drain_node(self.cluster[at].peers.members, {"name": config.name})

    def take_back(self, at: int, name: str) -> None:
        """Take a drained node into service again."""
        self.cluster.note(at, f"takes {name} back")
        with self.cluster.inside(at):
            cordon_node(self.cluster[at].peers.members, {"name": name}, is_cordoned=False)

    def dead(self) -> list[int]:
        return [n for n in range(len(self.cluster.config.node)) if n not in self.cluster.nodes]

    def start(self, number: int) -> None:
        self.cluster.start_again(number, self.cluster.last_incarnation(number) + 1)
        self.lives.on_started(number)

    def _die(self, number: int, *, is_silent: bool) -> None:
        self.lives.on_gone(number)
        with self.world.destroying(self.lives.clients()):
            self.cluster.crash(number, is_silent=is_silent)

    # Memory.

    def full(self) -> None:
        """A node refuses memory: its budget shrinks, or is whole again."""
        number = self._node()
        node, whole = self.cluster[number], self.cluster.budget(number)
        is_whole = node.engine.store.zbud.budget_bytes == whole
        wanted = int(whole * self.rng.choice(FULL_FRACTIONS)) if is_whole else whole
        self.cluster.set_budget(number, wanted)

    def flip(self) -> None:
        """A bit changes in some zpages that a holder keeps."""
        owner, holder = self._pair()
        if not {owner, holder} <= self.cluster.nodes.keys():
            return
        kept = self.world.rows_at(holder, owner)
        damaged = self.rng.sample(kept, min(len(kept), FLIPS_MAX))
        with self.world.destroying(self.lives.clients()):
            for row, (_, index, _) in damaged:
                self.cluster.note(holder, "a bit flips", f"node{owner} disk:{index}")
                store = self.cluster[holder].engine.store
                place = self.rng.randrange(zpage_bytes(store.rows.packed(row)))
                store.zbud.arena[store.zbud.offset(store.rows.location(row)) + place] ^= 1

    # What a detector would say.

    def down(self) -> None:
        """Without a detector: a node without a link is believed down."""
        one, other = self._pair()
        if self.cluster.has_detector or one not in self.cluster.nodes:
            return
        if not self.cluster.is_linked(one, other):
            incarnation = self.cluster.last_incarnation(other)
            self.cluster.judge(one, other, NodeState.DOWN, incarnation)
