"""How the list of members changes: versions, changes, and what becomes of two that did not know each other.  Pure.

Theory of operation.  A membership is a version and the whole list.  A version is a number, one more
than the one it was made from, and the node where it was made; versions are ordered by number, then
by that node's number, so any two of different origin are ordered, and alike on every node.  The
newer one wins, whole.

So of two changes made at the same time one would be lost.  Each membership therefore travels with
the versions that came before it.  A node whose own change is not among these makes it again on top
of what won, which is a newer version still.  Each such round ends with one more node's changes in
the list for good, so rounds end.  A change that the winner made impossible (the name is taken now)
is given up and said.  So is one from before the oldest version that travelled: the others may have
taken it over long ago, and changed it back.

Known weakness: which changes are our own is not kept over a restart.  A change made while cut off
from everybody and followed by a restart loses to any newer version; `is_unknown_to` tells that
apart, and the log names what differs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from config.endpoint import join_endpoint
from config.errors import ConfigError
from config.limits import MEMBERSHIP_VERSION_MAX
from config.model import ClusterConfig, NodeConfig
from config.rules import check_cluster, check_plaintext
from nodemanager.ids import NodeId

# Versions before the present one that travel with it: as many nodes may change things at once and
# lose nothing.
ANCESTORS_MAX: Final = 32
# Changes of our own that are made again: those of one partition, by hand.
OURS_MAX: Final = 256
# Why a change of ours is not made again when others have changed so much since that they may well
# know it: to undo what they did after it would be worse than to have it said again.
TOO_OLD: Final = f"at least {ANCESTORS_MAX} versions came since, and it may be among them"
# How far a version may be ahead of ours.  A node that is believed to have the last version there is
# would end all changes for good; this many at once nobody makes while a node is away, and to get
# there in such steps takes for ever.
VERSIONS_AHEAD_MAX: Final = 1 << 16
# The file that errors about a change name: there is none.
CHANGE: Final = "the change"


class ChangeRefused(Exception):
    """A change can't be made; the message is for the operator."""


class AlreadySo(ChangeRefused):
    """The members are as the change would make them."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Names one membership.  Ordered by number, then by origin."""

    number: int
    origin: int


@dataclass(frozen=True, slots=True)
class Add:
    """A new member."""

    node: NodeConfig


@dataclass(frozen=True, slots=True)
class Remove:
    """A member goes."""

    number: NodeId


@dataclass(frozen=True, slots=True)
class Cordon:
    """A member is given no new pages, or is again."""

    number: NodeId
    is_cordoned: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """A member gives back what it holds, until it is uncordoned.

    Of a member that drains already this changes the deadline and the reason, as far as it has some.
    """

    number: NodeId
    # Seconds since 1970; 0: not known, and no deadline.
    began_at: int = 0
    deadline_at: int = 0
    origin: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """A member is at another address, or another port of it."""

    number: NodeId
    address: str
    port: int


Change: TypeAlias = Add | Remove | Cordon | Drain | Move


def describe(change: Change, name: Callable[[NodeId], str]) -> str:
    """Return a change as the operator who asked for it said it: `cordon gamma`."""
    match change:
        case Add(node):
            return f"add {node.name}"
        case Remove(number):
            return f"remove {name(number)}"
        case Cordon(number, is_cordoned):
            return f"{'' if is_cordoned else 'un'}cordon {name(number)}"
        case Drain(number):
            return f"drain {name(number)}"
        case Move(number, address, port):
            return f"set {name(number)} --address {address} --port {port}"


@dataclass(frozen=True, slots=True)
class Said:
    """A membership as it travels.  `ancestors` are the versions before it, oldest first, not all of them."""

    version: Version
    ancestors: tuple[Version, ...]
    nodes: tuple[NodeConfig, ...]


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of a newer membership: the cluster from now on, and our changes it did not know."""

    cluster: ClusterConfig
    made_again: tuple[Change, ...]
    given_up: tuple[tuple[Change, str], ...]


class MembershipHistory:
    """The membership of one node, and what it must remember to bring two together."""

    def __init__(self, cluster: ClusterConfig, local: NodeId, *, has_tls: bool = False) -> None:
        self.cluster = cluster
        self._local = local
        # Whether members may be elsewhere than on loopback though the cluster does not allow
        # plaintext.
        self._has_tls = has_tls
        self._ancestors: tuple[Version, ...] = ()
        # Changes made here that no other node is known to have taken over, with the versions they
        # made.
        self._ours: list[tuple[Version, Change]] = []

    @property
    def version(self) -> Version:
        """Return the present version."""
        return version_of(self.cluster)

    def is_unknown_to(self, said: Said) -> bool:
        """Whether a newer membership was made without ours, and what we know to be our own can't make up for it."""
        if said.version <= self.version or self._ours:
            return False
        return _reaches(said, self.version) and self.version not in said.ancestors

    def say(self) -> Said:
        """Return what to tell a peer."""
        return Said(self.version, self._ancestors, self.cluster.node)

    def propose(self, change: Change) -> ClusterConfig:
        """Return the cluster after a change, to be kept first and then handed to `commit`.

        Raises:
            AlreadySo: (a ChangeRefused) It changes nothing.
            ChangeRefused: It breaks a rule of the cluster file.
        """
        return self._judged(changed(self.cluster, change, self._local))

    def _judged(self, cluster: ClusterConfig) -> ClusterConfig:
        try:
            check_plaintext(cluster, has_tls=self._has_tls, file=CHANGE)
        except ConfigError as error:
            raise ChangeRefused(str(error)) from None
        return cluster

    def commit(self, change: Change, cluster: ClusterConfig) -> None:
        """Make a proposal the present membership."""
        assert version_of(cluster) > self.version
        self._ours = [*self._ours, (version_of(cluster), change)][-OURS_MAX:]
        self._succeed(cluster, (*self._ancestors, self.version))

    def on_said(self, said: Said) -> Adopted | None:
        """Take over a membership that is newer than ours, with our changes on top.

        None if it is not newer.

        Raises:
            ChangeRefused: It breaks a rule here, or is too far ahead, so ours stays.
        """
        if said.version <= self.version:
            return None
        if said.version.number > self.version.number + VERSIONS_AHEAD_MAX:
            raise ChangeRefused(
                f"version {said.version.number} is more than {VERSIONS_AHEAD_MAX} ahead of version {self.version.number}, known here"
            )
        cluster = self._judged(with_nodes(self.cluster, said.nodes, said.version))
        ancestors = (*said.ancestors, said.version)
        # A version stands for all that came before it, also where the ancestors do not reach so far
        # back.
        ours = [] if self.version in ancestors else self._ours
        self._ours = []
        self._succeed(cluster, said.ancestors)
        if not any(node.number == self._local for node in cluster.node):
            return Adopted(cluster, (), ())
        unknown = [(version, change) for version, change in ours if version not in ancestors]
        too_old = [change for version, change in unknown if not _reaches(said, version)]
        adopted = self._make_again(
            [change for version, change in unknown if _reaches(said, version)]
        )
        given_up = tuple((change, TOO_OLD) for change in too_old)
        return replace(adopted, given_up=given_up + adopted.given_up)

    def _make_again(self, changes: list[Change]) -> Adopted:
        """Put changes on top of the present membership, all as one version.

        One, because a version for each could push what they stand on out of the ancestors; then the
        other side would miss its own changes there, make them again in turn, and so for ever.
        """
        base = self.cluster
        cluster = base
        again: list[Change] = []
        given_up: list[tuple[Change, str]] = []
        for change in changes:
            try:
                new = changed(cluster, change, self._local)
            except ChangeRefused as refused:
                given_up.append((change, str(refused)))
            else:
                cluster = replace(new, membership_version=base.membership_version)
                again.append(change)
        if again:
            version = Version(base.membership_version + 1, self._local)
            ancestors = (*self._ancestors, self.version)
            self._succeed(with_nodes(base, cluster.node, version), ancestors)
            self._ours = [(version, change) for change in again]
        return Adopted(self.cluster, tuple(again), tuple(given_up))

    def _succeed(self, cluster: ClusterConfig, ancestors: tuple[Version, ...]) -> None:
        self.cluster = cluster
        self._ancestors = ancestors[-ANCESTORS_MAX:]


def _reaches(said: Said, version: Version) -> bool:
    """Whether a version would be among the ancestors if it was one.  Beyond those that travel nobody can tell."""
    return len(said.ancestors) < ANCESTORS_MAX or said.ancestors[0] <= version


def version_of(cluster: ClusterConfig) -> Version:
    """Return the version of a membership."""
    return Version(cluster.membership_version, cluster.membership_origin)


def changed(cluster: ClusterConfig, change: Change, origin: NodeId) -> ClusterConfig:
    """Return the cluster with a change made at `origin`.

    Raises:
        AlreadySo: (a ChangeRefused) It changes nothing.
        ChangeRefused: It breaks a rule of the cluster file.
    """
    if cluster.membership_version >= MEMBERSHIP_VERSION_MAX:
        raise ChangeRefused(
            f"membership version {cluster.membership_version} is the highest possible: no change can follow"
        )
    nodes = _changed_nodes(cluster.node, change, cluster.membership_version + 1)
    return with_nodes(cluster, nodes, Version(cluster.membership_version + 1, origin))


def with_nodes(
    cluster: ClusterConfig, nodes: tuple[NodeConfig, ...], version: Version
) -> ClusterConfig:
    """Return the cluster with other members.

    Raises:
        ChangeRefused: They break a rule of the cluster file.
    """
    new = replace(
        cluster, node=nodes, membership_version=version.number, membership_origin=version.origin
    )
    try:
        check_cluster(new, file=CHANGE)
    except ConfigError as error:
        raise ChangeRefused(str(error)) from None
    return new


def _changed_nodes(
    nodes: tuple[NodeConfig, ...], change: Change, version: int
) -> tuple[NodeConfig, ...]:
    match change:
        case Add(node):
            if node in nodes:
                raise AlreadySo(f"node {node.name} is a member already")
            return (*nodes, node)
        case Remove(number):
            _find(nodes, number)
            return tuple(node for node in nodes if node.number != number)
        case Cordon(number, is_cordoned):
            found = _find(nodes, number)
            if (found.cordoned or found.draining) == is_cordoned:
                state = "cordoned already" if is_cordoned else "not cordoned"
                raise AlreadySo(f"node {found.name} is {state}")
            without = without_order(found)
            return _with(nodes, replace(without, cordoned=is_cordoned, draining=False))
        case Drain(number):
            return _with(nodes, _drained(_find(nodes, number), change, version))
        case Move(number, address, port):
            found = _find(nodes, number)
            if (found.address, found.port) == (address, port):
                raise AlreadySo(f"node {found.name} is at {join_endpoint(address, port)} already")
            return _with(nodes, replace(found, address=address, port=port))


def _drained(found: NodeConfig, drain: Drain, version: int) -> NodeConfig:
    """Return a member that drains."""
    if not found.draining:
        return replace(
            found,
            cordoned=True,
            draining=True,
            drain_number=version,
            drain_began_at=drain.began_at,
            drain_deadline_at=drain.deadline_at,
            drain_origin=drain.origin,
            drain_reason=drain.reason,
        )
    changed_order = replace(
        found,
        drain_deadline_at=drain.deadline_at or found.drain_deadline_at,
        drain_reason=drain.reason or found.drain_reason,
    )
    if changed_order == found:
        raise AlreadySo(f"node {found.name} is draining already")
    return changed_order


def without_order(node: NodeConfig) -> NodeConfig:
    """Return a member as a release has it that knows of drains, and of no orders for them."""
    return replace(
        node,
        drain_number=0,
        drain_began_at=0,
        drain_deadline_at=0,
        drain_origin=0,
        drain_reason="",
    )


def _with(nodes: tuple[NodeConfig, ...], new: NodeConfig) -> tuple[NodeConfig, ...]:
    return tuple(new if node.number == new.number else node for node in nodes)


def _find(nodes: tuple[NodeConfig, ...], number: NodeId) -> NodeConfig:
    for node in nodes:
        if node.number == number:
            return node
    raise ChangeRefused(f"node number {number} is not a member")
