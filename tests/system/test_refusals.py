"""Part of trust: a node that may not link is refused, and both sides say why.

Real daemons over TLS.  A node that differs in its code (a later protocol, other pages) is this very daemon with
one name changed before it starts.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.authority import Authority
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, Node, wait_until
from tests.system.secured import secure, use_tls, wait_for

NOT_OUR_CA = (
    "the peer's certificate is not valid here: another CA signed it: self-signed certificate"
)
NOT_THEIR_CA = "the peer refused this node: another CA signed the certificate of this node"


def own_cluster_file(node: Node, old: str, new: str) -> None:
    """Give a node a cluster file of its own, with one difference."""
    shared = node.config.with_name("cluster.toml")
    own = shared.with_name(f"cluster-{node.name}.toml")
    text = shared.read_text()
    assert old in text
    own.write_text(text.replace(old, new))
    config = node.config.read_text()
    node.config.write_text(config.replace(f'"{shared.name}"', f'"{own.name}"'))


def changed_program(code: str) -> list[str]:
    return [sys.executable, "-c", f"{code}\nfrom ramsterd.cli.ramsterd import main; main()"]


@dataclass(frozen=True)
class Refusal:
    """Node 2 dials node 1; `prepare` makes it one that may not."""

    prepare: Callable[[Cluster, Authority, Authority], None]
    at_the_listener: str
    outside: str


def other_cluster(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    own_cluster_file(cluster[2], 'name = "test"', 'name = "other"')
    secure(cluster, ours)


def other_timers(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    own_cluster_file(cluster[2], "idle_seconds = 8.0", "idle_seconds = 9.0")
    secure(cluster, ours)


def unknown_member(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    before, _, tables = (
        cluster[1].config.with_name("cluster.toml").read_text().partition("[[node]]")
    )
    first = tables.split("[[node]]")[0]
    own_cluster_file(cluster[1], f"{before}[[node]]{tables}", f"{before}[[node]]{first}")
    secure(cluster, ours)


def later_protocol(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    secure(cluster, ours)
    cluster[2].program = changed_program("import net.frame; net.frame.PROTOCOL_VERSION = 2")


def other_pages(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    secure(cluster, ours)
    cluster[2].program = changed_program(
        "import ramsterd.pagepath.greeting; ramsterd.pagepath.greeting.PAGE_BYTES = 8192"
    )


def other_name(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    """Node 2 has a good certificate, of another node; its own check would stop it, so that is told a lie."""
    use_tls(cluster[1], ours.issue("n1"))
    use_tls(cluster[2], ours.issue("n3"))
    cluster[2].program = changed_program(
        "import ramsterd.reconfigure.examine as examine; load = examine.load_credentials;"
        " examine.load_credentials = lambda tls, node, file: load(tls, node='n3', file=file)"
    )


def other_ca(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    """Node 2 believes both; node 1 only its own."""
    use_tls(cluster[1], ours.issue("n1"))
    tls = foreign.issue("n2")
    tls.ca.write_bytes(tls.ca.read_bytes() + ours.ca.read_bytes())
    use_tls(cluster[2], tls)


def strange_ca(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    """Each believes only its own."""
    use_tls(cluster[1], ours.issue("n1"))
    use_tls(cluster[2], foreign.issue("n2"))


def plain_to_tls(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    use_tls(cluster[1], ours.issue("n1"))


def tls_to_plain(cluster: Cluster, ours: Authority, foreign: Authority) -> None:
    use_tls(cluster[2], ours.issue("n2"))


REFUSALS = {
    "a wrong cluster name": Refusal(
        other_cluster,
        "refused node n2 (2): cluster 'other', ours is 'test'",
        "the peer refused this node: cluster 'other', ours is 'test'",
    ),
    "timers that must agree": Refusal(
        other_timers,
        "refused node n2 (2): timer idle_seconds is 9, ours is 8",
        "the peer refused this node: timer idle_seconds is 9, ours is 8",
    ),
    "a number that is no member's": Refusal(
        unknown_member,
        "refused node n2 (2): node number 2 is not a member",
        "the peer refused this node: node number 2 is not a member",
    ),
    "a protocol version from the future": Refusal(
        later_protocol,
        "protocol error: protocol version 2, expected 1",
        "protocol version 1, expected 2",
    ),
    "another page size": Refusal(
        other_pages,
        "refused node n2 (2): unit of 8192 bytes, ours has 4096",
        "the peer refused this node: unit of 8192 bytes, ours has 4096",
    ),
    "a node name that is not its own": Refusal(
        other_name,
        "refused node n2 (2): the certificate is for n3, not for n2",
        "the peer refused this node: the certificate is for n3, not for n2",
    ),
    "a foreign CA": Refusal(other_ca, NOT_OUR_CA, NOT_THEIR_CA),
    "a CA that is foreign both ways": Refusal(strange_ca, NOT_THEIR_CA, NOT_OUR_CA),
    "plaintext where TLS is spoken": Refusal(
        plain_to_tls,
        "the peer does not use TLS; this node has [tls] set",
        "the peer closed the connection before its HELLO (it may expect TLS)",
    ),
    "TLS where plaintext is spoken": Refusal(
        tls_to_plain,
        "the peer uses TLS, and this node does not",
        "the peer does not use TLS; this node has [tls] set",
    ),
}


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def foreign(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "foreign")


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_both_sides_say_why(
    new_cluster: NewCluster, ours: Authority, foreign: Authority, refusal: Refusal
) -> None:
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    refusal.prepare(cluster, ours, foreign)
    for node in cluster:
        node.start()
    wait_for(cluster[1], refusal.at_the_listener)
    wait_for(cluster[2], refusal.outside)
    for node in cluster:
        node.wait_ready()
        assert node.links() == set()
        assert "link is up" not in node.log


def test_a_stranger_that_answers_in_the_place_of_a_member_is_refused(
    new_cluster: NewCluster, ours: Authority, foreign: Authority
) -> None:
    """The dialling side judges too: node 1 shows the certificate of another."""
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    use_tls(cluster[1], ours.issue("n9"))
    use_tls(cluster[2], ours.issue("n2"))
    cluster[1].program = changed_program(
        "import ramsterd.reconfigure.examine as examine; load = examine.load_credentials;"
        " examine.load_credentials = lambda tls, node, file: load(tls, node='n9', file=file)"
    )
    for node in cluster:
        node.start()
    wait_for(cluster[2], "refused node n1 (1): the certificate is for n9, not for n1")
    wait_for(cluster[1], "the peer refused this node: the certificate is for n9, not for n1")


def test_a_certificate_that_expires_while_the_node_runs(
    new_cluster: NewCluster, ours: Authority
) -> None:
    """Open links stay; after a cut the node is refused, and both sides say that it has expired."""
    cluster = new_cluster(budgets=["4MiB", "4MiB"])
    use_tls(cluster[1], ours.issue("n1"))
    use_tls(cluster[2], ours.issue("n2", days=8 / 86_400))
    cluster.start()
    cluster[2].wait_said("the certificate of this node is valid until ")
    wait_until(
        lambda: cluster[2].status()["certificate_expiry_seconds"] < 0,
        "it has expired",
        seconds_max=20,
    )
    assert cluster[1].links() == {2}
    cluster[1].stop()
    cluster[1].start()
    wait_for(cluster[1], "the peer's certificate is not valid here: certificate has expired")
    wait_for(cluster[2], "the peer refused this node: the certificate of this node has expired")
    cluster[1].wait_ready()
    assert cluster[1].links() == set()


def test_a_second_machine_with_the_files_of_a_node(
    new_cluster: NewCluster, ours: Authority
) -> None:
    """The newer incarnation has the link; the older one comes back and finds its place taken."""
    cluster = new_cluster(budgets=["4MiB", "4MiB", "4MiB"])
    secure(cluster, ours)
    # Node 3 becomes a second node 2: its files, at a port of its own.
    original, copy = cluster[2], cluster[3]
    text = copy.config.read_text().replace('node = "n3"', 'node = "n2"')
    copy.config.write_text(text.replace("n3.pem", "n2.pem").replace("n3.key", "n2.key"))
    own_cluster_file(copy, f"port = {original.port}", "port = 1")
    own = copy.config.with_name("cluster-n3.toml")
    own.write_text(own.read_text().replace(f"port = {copy.port}", f"port = {original.port}"))
    own.write_text(own.read_text().replace("port = 1\n", f"port = {copy.port}\n"))
    for node in (cluster[1], original):
        node.start()
    for node in (cluster[1], original):
        node.wait_ready()
    wait_until(lambda: 2 in cluster[1].links(), "the original is linked")
    copy.start()
    wait_for(cluster[1], "refused node n2 (2): node n2 started at ")
    # It was accepted there before, so it knows that it is not its clock, and does not outbid the other in turn.
    wait_for(original, "another machine uses the files of this node")
    assert original.status()["incarnation_floors"]["heard_total"]["adopted"] == 0
    cluster[1].wait_said("replaced by a new link: the peer came back with a new incarnation")
