"""`ramsterctl cluster init | add-node | renew`: the folders of nodes, ready to copy.  No daemon is asked.

Everything is built in a folder of its own beside the target, judged there as the daemon will judge
it, and put in place with one rename: half a cluster is never seen, and nothing that is there is
overwritten.

The folder `ca` has what it takes to make more: the CA's key, the heartbeats' key, and
`cluster.toml`, the members as this folder knows them.
"""

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.endpoint import (
    DEFAULT_PORT,
    METRICS_PORT,
    PORT_MAX,
    join_endpoint,
    parse_host,
    split_place,
)
from config.errors import ConfigError
from config.limits import NODE_NUMBER_MAX
from config.load import load_cluster, load_node
from config.model import ClusterConfig, NodeConfig
from config.reader import read_plain
from config.rewrite import rewrite_members
from config.rules import check_cluster
from config.save import save_text
from net.certificates import load_credentials
from ramsterd.health.wording import named

if TYPE_CHECKING:
    from ramsterd.provision.ca import Authority

HEARTBEAT_KEY_BYTES: Final = 32
# Between the ports of nodes on one host, as docs/operations.md has them.
PORT_STEP: Final = 10
# Loopback only: a reader learns what the node keeps, and it has neither TLS nor passwords.
METRICS: Final = f"127.0.0.1:{METRICS_PORT}"
# The folder of the CA, which no node can be called.
CA: Final = "ca"
README: Final = """\
ca.key signs nodes: anybody who has it can join the cluster as any node.
Keep this folder off the nodes, best off line.  You need it to add nodes and to renew certificates:

    ramsterctl cluster add-node NAME=HOST --from FOLDER
    ramsterctl cluster renew --from FOLDER --out NEW_FOLDER

FOLDER is this one, or the one that it is in.  cluster.toml has the members as they were made here.
"""


class CannotInit(Exception):
    """Nothing was made and nothing was changed.  The message is one line for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNode:
    """One member to be."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What the ramsterd.toml of a new node says, beside its name."""

    days: int
    budget: str
    exports: Sequence[tuple[str, str]] = ()


def parse_nodes(text: str, option: str = "--nodes") -> tuple[NewNode, ...]:
    """Return the members in `a=10.0.0.1,b=10.0.0.2:7701,c=[::1]:7702,d=host4.example`.

    Raises:
        CannotInit: It is not that; names and addresses are judged later, as those of any
            cluster.toml.
    """
    nodes = []
    for part in text.split(","):
        name, _, where = part.strip().partition("=")
        try:
            address, port = split_place(where, default_port=DEFAULT_PORT)
        except ValueError:
            raise CannotInit(
                f"{option}: found {part!r}, expected NAME=HOST or NAME=HOST:PORT, where HOST is an IP address (IPv6"
                " before a port in brackets) or a host name"
            ) from None
        nodes.append(NewNode(name=name, address=address, port=port))
    return tuple(nodes)


def shared_hosts(nodes: Iterable[NewNode]) -> list[list[NewNode]]:
    """Return the nodes of each host that has several."""
    by_host: dict[Hashable, list[NewNode]] = {}
    for node in nodes:
        by_host.setdefault(parse_host(node.address), []).append(node)
    return [group for group in by_host.values() if len(group) > 1]


def _check_places(nodes: Iterable[NewNode]) -> None:
    """Raise CannotInit if nodes are to listen at one place; says what to type."""
    for group in shared_hosts(nodes):
        by_port: dict[int, list[str]] = {}
        for node in group:
            by_port.setdefault(node.port, []).append(node.name)
        for port, names in by_port.items():
            if len(names) == 1:
                continue
            address = group[0].address
            ports = range(DEFAULT_PORT, PORT_MAX, PORT_STEP)
            free = next(each for each in ports if each not in by_port)
            raise CannotInit(
                f"--nodes: found {join_endpoint(address, port)} for {named(names)}, expected a host for each, or a port for"
                f" each on one host, such as {names[1]}={join_endpoint(address, free)}"
            )


def init_cluster(*, name: str, nodes: Sequence[NewNode], out: Path, settings: NodeSettings) -> None:
    """Write `out`: a folder for each node, and `ca`.

    Raises:
        CannotInit: `out` exists, a value is wrong, or a library is missing.
    """
    _check_places(nodes)
    cluster = _judged(name, nodes)
    authorities = _authorities()
    with _built(out) as building:
        authority = authorities.new(name, settings.days)
        heartbeat_key = f"{secrets.token_hex(HEARTBEAT_KEY_BYTES)}\n".encode()
        text = cluster_text(cluster)
        write_ca(building / CA, authority, heartbeat_key, text)
        for node in nodes:
            folder = building / node.name
            write_node(folder, node.name, authority, heartbeat_key, text, settings)
            _check(folder, out / node.name)


def add_node(
    source: Path, node: NewNode, *, number: int | None, zone: str, cluster_file: Path | None,
    settings: NodeSettings,
) -> NodeConfig:  # fmt: skip
    """Write a folder for one more node beside the others, and note it among the members of the CA's folder.

    Raises:
        CannotInit: A value is wrong, the name or number is taken, or the CA can't be had.
    """
    ca = find_ca(source)
    known = cluster_file or ca / "cluster.toml"
    with _explained(f"--from {source}"):
        cluster, text = load_cluster(known), known.read_text()
        authority, heartbeat_key = _authorities().load(ca), (ca / "heartbeat.key").read_bytes()
    if number is None:
        number = max(each.number for each in cluster.node) + 1
        if number > NODE_NUMBER_MAX:
            raise CannotInit(
                f"--number: found none, expected one, because {number - 1} is the highest number and is taken"
            )
    new = _member(node, number, zone)
    wanted = replace(cluster, node=(*cluster.node, new))
    with _explained(""):
        check_cluster(wanted, file=f"{known} with the new node")
        text = rewrite_members(text, wanted, file=str(known))
    out = ca.parent / node.name
    with _built(out) as building:
        write_node(building, node.name, authority, heartbeat_key, text, settings)
        _check(building, out)
    try:
        save_text(ca / "cluster.toml", text)
    except ConfigError as error:
        shutil.rmtree(out)
        raise CannotInit(str(error)) from None
    return new


def renew(
    source: Path, out: Path, names: Sequence[str], *, days: int, cluster_file: Path | None,
    is_new_ca: bool,
) -> tuple[str, ...]:  # fmt: skip
    """Write new certificates and keys of nodes, all or those named, into a folder each.

    Return which.

    With `is_new_ca` a new CA signs, in `out / "ca"`; then `ca.pem` of each node has both CAs, for
    the changeover.

    Raises:
        CannotInit: `out` exists, a name is no member's, or the CA can't be had.
    """
    ca = find_ca(source)
    with _explained(f"--from {source}"):
        cluster = load_cluster(cluster_file or ca / "cluster.toml")
        old_pem, heartbeat_key = (ca / "ca.pem").read_bytes(), (ca / "heartbeat.key").read_bytes()
        text = (cluster_file or ca / "cluster.toml").read_text()
        authorities = _authorities()
        authority = authorities.new(cluster.name, days) if is_new_ca else authorities.load(ca)
    members = [node.name for node in cluster.node]
    for name in names:
        if name not in members:
            raise CannotInit(f"found {name!r}, expected one of {', '.join(members)}")
    with _built(out) as building:
        if is_new_ca:
            write_ca(building / CA, authority, heartbeat_key, text)
        for name in names or members:
            folder = building / name
            folder.mkdir(mode=0o700)
            write_certificate(folder, name, authority, days)
            if is_new_ca:
                (folder / "ca.pem").write_bytes(authority.certificate_pem + old_pem)
    return tuple(names or members)


def find_ca(source: Path) -> Path:
    """Return the CA's folder in what `--from` names: it, or the one it is in."""
    for folder in (source / CA, source):
        if (folder / "ca.key").exists():
            return folder.absolute()
    raise CannotInit(f"--from {source}: found no ca/ca.key, expected the folder that `init` wrote")


@contextmanager
def _built(out: Path) -> Iterator[Path]:
    """Yield a private folder to fill, which becomes `out` at the end.

    Nothing stays if that fails.
    """
    if out.exists() or out.is_symlink():
        raise CannotInit(f"{out} exists and is never overwritten: choose another folder")
    try:
        building = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
    except OSError as error:
        raise CannotInit(f"can't write beside {out}: {error.strerror}") from error
    try:
        yield building
        building.rename(out)
    except OSError as error:
        raise CannotInit(f"can't write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what may go wrong with files that are read into the one error."""
    try:
        yield
    except OSError as error:
        raise CannotInit(f"{what}: {error.filename}: {error.strerror or error}") from None
    except ConfigError as error:
        raise CannotInit(str(error)) from None
    except ValueError as error:  # BadAuthority, or text that is none
        raise CannotInit(f"{what}: {error}") from None


def _authorities() -> "type[Authority]":
    try:
        import cryptography  # noqa: F401, PLC0415  an extra
    except ImportError:
        raise CannotInit(
            "the cryptography package is missing: install ramster with its extra, pip install -c constraints.txt '.[tls]'"
        ) from None
    from ramsterd.provision.ca import Authority  # noqa: PLC0415  it needs that

    return Authority


def _judged(name: str, nodes: Sequence[NewNode]) -> ClusterConfig:
    """Return the cluster of these members, judged before anything is written."""
    members = tuple(_member(node, number, "") for number, node in enumerate(nodes, start=1))
    with _explained(""):
        cluster = read_plain({"name": name}, ClusterConfig, file="--name", folder=Path())
        cluster = replace(cluster, node=members)
        check_cluster(cluster, file="--nodes")
    return cluster


def _member(node: NewNode, number: int, zone: str) -> NodeConfig:
    if node.name == CA:
        raise CannotInit("found a node named 'ca', which is the folder of the CA")
    row = {
        "number": number,
        "name": node.name,
        "address": node.address,
        "port": node.port,
        "zone": zone,
    }
    plain = {"name": "cluster", "node": [row]}
    with _explained(""):
        (member,) = read_plain(plain, ClusterConfig, file=f"node {node.name!r}", folder=Path()).node
    return member


def _check(folder: Path, final: Path) -> None:
    """Judge what was written as the daemon will."""
    file = folder / "ramsterd.toml"
    try:
        daemon, _, _ = load_node(file)
        assert daemon.tls is not None, "we wrote it"
        load_credentials(daemon.tls, node=daemon.node, file=str(file))
    except ConfigError as error:
        raise CannotInit(str(error).replace(str(folder), str(final))) from None


def write_ca(folder: Path, authority: "Authority", heartbeat_key: bytes, cluster: str) -> None:
    """Write what it takes to make more nodes."""
    folder.mkdir(mode=0o700)
    (folder / "README").write_text(README)
    (folder / "cluster.toml").write_text(cluster)
    write_private(folder / "ca.key", authority.key_pem)
    write_private(folder / "heartbeat.key", heartbeat_key)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)


def write_node(
    folder: Path, name: str, authority: "Authority", heartbeat_key: bytes, cluster: str,
    settings: NodeSettings,
) -> None:  # fmt: skip
    """Write all that a node needs in /etc/ramster."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "cluster.toml").write_text(cluster)
    (folder / "ramsterd.toml").write_text(daemon_text(name, settings))
    write_private(folder / "heartbeat.key", heartbeat_key)
    write_certificate(folder, name, authority, settings.days)


def write_certificate(folder: Path, name: str, authority: "Authority", days: int) -> None:
    """Write a certificate, its key, and the CA's certificate."""
    certificate, key = authority.issue(name, days)
    (folder / "node.pem").write_bytes(certificate)
    write_private(folder / "node.key", key)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)


def cluster_text(cluster: ClusterConfig) -> str:
    """Return cluster.toml, the same for every node."""
    lines = ["# Who belongs to the cluster.  The same file on every node."]
    lines += [f"name = {_quoted(cluster.name)}"]
    for node in cluster.node:
        lines += ["", "[[node]]", f"number = {node.number}", f"name = {_quoted(node.name)}"]
        lines += [f"address = {_quoted(node.address)}", f"port = {node.port}"]
    return "\n".join(lines) + "\n"


def daemon_text(node: str, settings: NodeSettings) -> str:
    """Return ramsterd.toml of one node."""
    lines = ["# This node's own file.", f"node = {_quoted(node)}", 'cluster = "cluster.toml"']
    lines += ['heartbeat_key = "heartbeat.key"', 'state_dir = "state"', ""]
    lines += ["[memory]", f"budget = {_quoted(settings.budget)}", ""]
    lines += ["[tls]", 'ca = "ca.pem"', 'certificate = "node.pem"', 'key = "node.key"', ""]
    lines += ["[control]", 'socket = "/run/ramster/control.sock"', ""]
    lines += ["[metrics]", f"listen = {_quoted(METRICS)}", ""]
    lines += ["[nbd]", 'socket = "/run/ramster/nbd.sock"']
    for export, size in settings.exports:
        lines += ["", "[[export]]", f"name = {_quoted(export)}", f"size = {_quoted(size)}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a TOML string; JSON's are a part of them."""
    return json.dumps(text)
