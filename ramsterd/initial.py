"""`ramsterctl cluster init`: the folders of a new cluster, one for each node, ready to copy.

Everything is built in a folder of its own beside the target, and put there with one rename: half a cluster is
never seen.  Needs the `cryptography` package (`pip install 'ramster[tls]'`), which the daemon does not.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from config.endpoint import parse_address
from config.errors import ConfigError
from config.load import load_node
from net.certificates import load_credentials

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder, KeyUsage, Name

HEARTBEAT_KEY_BYTES: Final = 32
# RFC 5280, ub-common-name.
COMMON_NAME_CHARACTERS_MAX: Final = 64
PORT_DIGITS_MAX: Final = 5
DEFAULT_PORT: Final = 7700
# Clocks of new machines are not yet in step.
BACKDATED: Final = timedelta(hours=1)
README: Final = """\
ca.key signs nodes: whoever has it can join the cluster as any node.
Keep this folder off the nodes, best off line.  You need it to renew certificates and to add nodes:

    ramsterctl cluster init --ca THIS_FOLDER --name ... --nodes ... --out ...
"""


class CannotInit(Exception):
    """The cluster was not made; nothing was written.  The message is one line for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNode:
    """One member to be."""

    name: str
    address: str
    port: int


def parse_nodes(text: str) -> tuple[NewNode, ...]:
    """Return the members in `a=10.0.0.1,b=10.0.0.2:7701,c=[::1]:7702`.

    Raises:
        CannotInit: It is not that; names and addresses are judged later, as those of any cluster.toml.
    """
    nodes = []
    for part in text.split(","):
        name, _, where = part.strip().partition("=")
        bare = where.startswith("[") and where.endswith("]")
        try:
            parse_address(where[1:-1] if bare else where)
            address, port = (where[1:-1] if bare else where), DEFAULT_PORT
        except ValueError:
            address, _, digits = where.rpartition(":")
            address = address.removeprefix("[").removesuffix("]")
            if not digits.isascii() or not digits.isdigit() or len(digits) > PORT_DIGITS_MAX:
                raise CannotInit(
                    f"--nodes: found {part!r}, expected NAME=ADDRESS or NAME=ADDRESS:PORT"
                ) from None
            port = int(digits)
        nodes.append(NewNode(name=name, address=address, port=port))
    return tuple(nodes)


def init_cluster(
    *,
    name: str,
    nodes: Sequence[NewNode],
    out: Path,
    days: int,
    budget: str,
    exports: Sequence[tuple[str, str]],
    ca_folder: Path | None = None,
) -> None:
    """Write `out`: a folder for each node, and `ca` unless `ca_folder` has one.

    Raises:
        CannotInit: `out` exists, a value is wrong, or a library is missing; nothing was written.
    """
    if out.exists() or out.is_symlink():
        raise CannotInit(f"{out} exists; nothing is overwritten: choose another folder")
    if any(node.name == "ca" for node in nodes):
        raise CannotInit("--nodes: found a node named 'ca', which is the folder of the CA")
    for node in nodes:
        if not node.name or "/" in node.name or node.name.startswith("."):
            raise CannotInit(f"--nodes: found name {node.name!r}, expected a-z, 0-9, '.' and '-'")
    try:
        building = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
    except OSError as error:
        raise CannotInit(f"can't write beside {out}: {error.strerror}") from error
    try:
        authority = _authority(ca_folder, building, name, days)
        heartbeat_key = secrets.token_hex(HEARTBEAT_KEY_BYTES)
        if ca_folder is not None and (kept := ca_folder / "heartbeat.key").exists():
            heartbeat_key = kept.read_text().strip()
        elif ca_folder is None:
            write_private(building / "ca" / "heartbeat.key", f"{heartbeat_key}\n".encode())
        for node in nodes:
            folder = building / node.name
            folder.mkdir(mode=0o700)
            (folder / "cluster.toml").write_text(cluster_text(name, nodes))
            (folder / "ramsterd.toml").write_text(daemon_text(node.name, budget, exports))
            write_private(folder / "heartbeat.key", f"{heartbeat_key}\n".encode())
            authority.issue(node.name, folder, days)
            _check(folder, out / node.name)
        building.rename(out)
    except OSError as error:
        raise CannotInit(f"can't write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _check(folder: Path, final: Path) -> None:
    """Judge what was written as the daemon will."""
    file = folder / "ramsterd.toml"
    try:
        daemon, _, _ = load_node(file)
        assert daemon.tls is not None, "we wrote it"
        load_credentials(daemon.tls, node=daemon.node, file=str(file))
    except ConfigError as error:
        raise CannotInit(str(error).replace(str(folder), str(final))) from None


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)


def cluster_text(name: str, nodes: Sequence[NewNode]) -> str:
    """Return cluster.toml, the same for every node."""
    lines = ["# Who belongs to the cluster.  The same file on every node.", f'name = "{name}"']
    for number, node in enumerate(nodes, start=1):
        lines += ["", "[[node]]", f"number = {number}", f'name = "{node.name}"']
        lines += [f'address = "{node.address}"', f"port = {node.port}"]
    return "\n".join(lines) + "\n"


def daemon_text(node: str, budget: str, exports: Sequence[tuple[str, str]]) -> str:
    """Return ramsterd.toml of one node."""
    lines = ["# This node's own file.", f'node = "{node}"', 'cluster = "cluster.toml"']
    lines += ['heartbeat_key = "heartbeat.key"', ""]
    lines += ["[memory]", f'budget = "{budget}"', ""]
    lines += ["[tls]", 'ca = "ca.pem"', 'certificate = "node.pem"', 'key = "node.key"', ""]
    lines += ["[control]", 'socket = "/run/ramster/control.sock"', ""]
    lines += ["[nbd]", 'socket = "/run/ramster/nbd.sock"']
    for export, size in exports:
        lines += ["", "[[export]]", f'name = "{export}"', f'size = "{size}"']
    return "\n".join(lines) + "\n"


class Authority:
    """The CA of a cluster, with its key."""

    def __init__(self, key: "EllipticCurvePrivateKey", certificate: "Certificate") -> None:
        self._key = key
        self._certificate = certificate

    def issue(self, name: str, folder: Path, days: int) -> None:
        """Write node.pem, node.key and ca.pem of one node into `folder`."""
        from cryptography import x509  # noqa: PLC0415  an extra
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, days, issuer=self._certificate.subject)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(key_usage(signs_nodes=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        (folder / "node.pem").write_bytes(_pem(sign(self._key, builder)))
        write_private(folder / "node.key", _key_pem(key))
        (folder / "ca.pem").write_bytes(_pem(self._certificate))


def sign(key: "EllipticCurvePrivateKey", builder: "CertificateBuilder") -> "Certificate":
    """Return the finished certificate."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    return builder.sign(key, hashes.SHA256())


def _authority(ca_folder: Path | None, building: Path, cluster: str, days: int) -> Authority:
    """Return the CA in `ca_folder`, or a new one whose files are in `building / "ca"`."""
    try:
        from cryptography import x509  # noqa: PLC0415  an extra
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
            load_pem_private_key,
        )
    except ImportError:
        raise CannotInit(
            "the cryptography package is missing: pip install 'ramster[tls]'"
        ) from None
    if ca_folder is not None:
        try:
            key = load_pem_private_key((ca_folder / "ca.key").read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((ca_folder / "ca.pem").read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise CannotInit(f"--ca {ca_folder}: no usable ca.key and ca.pem: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CannotInit(f"--ca {ca_folder}: found a key of another kind, expected EC")
        return Authority(key, certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(f"ramster {cluster} CA"[:COMMON_NAME_CHARACTERS_MAX], key, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_nodes=True), critical=True)
    )
    folder = building / "ca"
    folder.mkdir(mode=0o700)
    (folder / "README").write_text(README)
    write_private(folder / "ca.key", _key_pem(key))
    certificate = sign(key, builder)
    (folder / "ca.pem").write_bytes(_pem(certificate))
    return Authority(key, certificate)


def _builder(
    name: str, key: "EllipticCurvePrivateKey", days: int, issuer: "Name | None" = None
) -> "CertificateBuilder":
    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def key_usage(*, signs_nodes: bool) -> "KeyUsage":
    """Return what a key is for: a CA's signs certificates, a node's signs handshakes."""
    from cryptography import x509  # noqa: PLC0415

    return x509.KeyUsage(
        digital_signature=not signs_nodes,
        key_cert_sign=signs_nodes,
        crl_sign=signs_nodes,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: "Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
