"""Any bytes in the files of keys and certificates are what they should be, or the one error that names the file; so is any certificate that the CA did sign."""

import base64
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.errors import ConfigError
from config.model import TlsConfig
from heartbeat.key import BadKeyFile, read_key
from heartbeat.seal import KEY_BYTES
from net.certificates import load_credentials
from tests.fuzz.target import Target

NODE: Final = "n1"
FILE: Final = "ramsterd.toml"
# Keys that everybody may know, so that kept inputs stay valid.
CA_KEY: Final = ec.derive_private_key(0x5EED1, ec.SECP256R1())
NODE_KEY: Final = ec.derive_private_key(0x5EED2, ec.SECP256R1())
# What the first byte of an input says that the rest is.
HEARTBEAT_KEY, CA, CERTIFICATE, KEY, TO_BE_SIGNED = range(5)
# ecdsa-with-SHA256 (RFC 5758, 3.2).
SIGNED_HOW: Final = bytes.fromhex("300a06082a8648ce3d040302")


class MemoryFile:
    """A file without a folder, for this process alone."""

    def __init__(self) -> None:
        self._number = os.memfd_create("fuzz")
        os.fchmod(self._number, 0o600)
        self.path = Path(f"/proc/self/fd/{self._number}")

    def hold(self, data: bytes) -> Path:
        os.truncate(self._number, 0)
        os.pwrite(self._number, data, 0)
        return self.path


@cache
def files() -> list[MemoryFile]:
    return [MemoryFile() for _ in range(4)]


def certificate(
    name: str | None, *, is_ca: bool = False, last_year: int = 2099, alternatives: tuple[str, ...] = ()
) -> x509.Certificate:  # fmt: skip
    """Return a certificate by our CA."""
    title = [] if name is None else [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(title))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
        .public_key((CA_KEY if is_ca else NODE_KEY).public_key())
        .serial_number(7)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(last_year, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if alternatives:
        names = x509.SubjectAlternativeName([x509.DNSName(each) for each in alternatives])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(CA_KEY, hashes.SHA256())


def pem(found: x509.Certificate) -> bytes:
    return found.public_bytes(serialization.Encoding.PEM)


@cache
def ca_pem() -> bytes:
    return pem(certificate("ca", is_ca=True))


@cache
def node_pem() -> bytes:
    return pem(certificate(NODE))


@cache
def key_pem() -> bytes:
    return NODE_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def sign(body: bytes) -> bytes:
    """Return a certificate with this body, which may be anything."""
    signature = b"\0" + CA_KEY.sign(body, ec.ECDSA(hashes.SHA256()))
    whole = body + SIGNED_HOW + b"\x03" + length_of(signature) + signature
    der = base64.encodebytes(b"\x30" + length_of(whole) + whole)
    return b"-----BEGIN CERTIFICATE-----\n" + der + b"-----END CERTIFICATE-----\n"


def length_of(content: bytes) -> bytes:
    """Return a length as DER has it (X.690, 8.1.3)."""
    if len(content) < 128:
        return bytes([len(content)])
    return b"\x82" + len(content).to_bytes(2)


def check(data: bytes) -> set[str]:
    what, content = (data[0] % 5, data[1:]) if data else (0, b"")
    if what == HEARTBEAT_KEY:
        return check_heartbeat_key(content)
    ca, shown, key, _ = files()
    tls = TlsConfig(
        ca=ca.hold(content if what == CA else ca_pem()),
        certificate=shown.hold(
            content if what == CERTIFICATE else sign(content) if what == TO_BE_SIGNED else node_pem()
        ),
        key=key.hold(content if what == KEY else key_pem()),
    )  # fmt: skip
    try:
        credentials = load_credentials(tls, node=NODE, file=FILE)
    except ConfigError as error:
        assert str(error).startswith(f"{FILE}: tls.")
        assert str(error).isprintable(), "an operator gets one line"
        is_other = "the name of this node" in str(error)
        return {f"refused {error.key}"} | ({"other name"} if is_other else set())
    assert NODE in credentials.names
    return {f"accepted {what}"}


def check_heartbeat_key(content: bytes) -> set[str]:
    try:
        key = read_key(files()[3].hold(content))
    except BadKeyFile as error:
        assert str(error).isprintable(), "an operator gets one line"
        return {"no heartbeat key"}
    assert len(key) == KEY_BYTES
    return {"heartbeat key"}


def seeds() -> Mapping[str, bytes]:
    def body(found: x509.Certificate) -> bytes:
        return bytes([TO_BE_SIGNED]) + found.tbs_certificate_bytes

    return {
        "digits": bytes([HEARTBEAT_KEY]) + b"5e" * KEY_BYTES + b"\n",
        "bytes": bytes([HEARTBEAT_KEY]) + bytes(KEY_BYTES),
        "short": bytes([HEARTBEAT_KEY]) + b"5e",
        "ca": bytes([CA]) + ca_pem(),
        "wrong-ca": bytes([CA]) + node_pem(),
        "certificate": bytes([CERTIFICATE]) + node_pem(),
        "chain": bytes([CERTIFICATE]) + node_pem() + ca_pem(),
        "key": bytes([KEY]) + key_pem(),
        "no-key": bytes([KEY]) + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "named": body(certificate(NODE)),
        "alternatives": body(certificate("x", alternatives=("n2", NODE))),
        "expired": body(certificate(NODE, last_year=2021)),
        "other-name": body(certificate("n2")),
        "nameless": body(certificate(None)),
        "far": body(certificate(NODE, last_year=9999)),
    }


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {"accepted 1", "accepted 2", "accepted 3", "accepted 4", "other name", "heartbeat key"}
        | {"no heartbeat key", "refused tls.key", "refused tls.certificate"}
    ),
    bytes_max=2048,
)
