"""This node's certificate: load it, judge it before anybody else does, know when it ends.

The standard library shows a certificate only to the other side of a handshake.  So ours is judged
by one with ourselves, in memory: that proves in one go that key and certificate fit, that the CA
signed it, that it is valid now, and that it may be used on both sides of a link.
"""

import hashlib
import math
import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.errors import ConfigError
from config.model import TlsConfig

# Larger files are not what they should be.
PEM_BYTES_MAX: Final = 1024 * 1024
# The group may read a key (a daemon that does not own it), and no more.
OPEN_TO_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
# A handshake in memory needs two rounds; more means that it goes nowhere.
ROUNDS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """TLS contexts of a link, one for each side, with the names and the end of our own certificate."""

    client: ssl.SSLContext
    server: ssl.SSLContext
    names: frozenset[str] = frozenset()
    # Seconds since 1970: the end of our certificate, or of its CA's, is wall clock, by its nature.
    expires_at: float = 0.0
    # Of all that the files hold: tells whether they have changed.
    digest: bytes = b""


class NoPassword(ValueError):
    """A private key wants a password, and nobody is there to type it."""


def load_credentials(tls: TlsConfig, *, node: str, file: str) -> Credentials:
    """Return the credentials that `[tls]` of `file` names, after a rehearsal.

    Raises:
        ConfigError: A file can't be read, is too open, does not fit the others, or names another
            node.
    """
    loaded = load_contexts(tls, file=file)
    try:
        shown = rehearse(loaded)
    except ssl.SSLCertVerificationError as error:
        expected = f"a certificate that {tls.ca} vouches for, now and for both sides of a link"
        raise ConfigError(
            file, "tls.certificate", f"{tls.certificate}: {error.verify_message}", expected
        ) from None
    except ssl.SSLError as error:
        found = f"{tls.certificate}: {error.reason or error}"
        raise ConfigError(file, "tls.certificate", found, "a certificate for TLS 1.3") from None
    except UnicodeDecodeError:
        found = f"{tls.certificate} with a name that can't be read"
        raise ConfigError(file, "tls.certificate", found, "names that are text") from None
    names = names_in(shown)
    if node not in names:
        found = f"{tls.certificate} for {show_names(names)}"
        raise ConfigError(file, "tls.certificate", found, f"one for {node}, the name of this node")
    return Credentials(
        client=loaded.client,
        server=loaded.server,
        names=names,
        expires_at=min(end_of(shown), end_of_issuer(shown, loaded.client)),
        digest=loaded.digest,
    )


def load_contexts(tls: TlsConfig, *, file: str) -> Credentials:
    """Return contexts for both sides, without a judgement on the certificate.

    Each file is read once: both sides, and the judgement, are of the same bytes, also when files
    are replaced meanwhile.

    Raises:
        ConfigError: A file does not hold what it should, or the key is too open.
    """
    ca = _read(tls.ca, "tls.ca", file)
    certificate = _read(tls.certificate, "tls.certificate", file)
    pair = certificate + b"\n" + _read(tls.key, "tls.key", file, is_private=True)
    client, server = (
        ssl.SSLContext(purpose) for purpose in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)
    )
    for context in (client, server):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Names of nodes are no host names: net.mesh compares them with HELLO.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except (OSError, ValueError) as error:
            found = f"{tls.ca}: {_reason(error)}"
            raise ConfigError(file, "tls.ca", found, "certificates in PEM form") from None
        try:
            _load_pair(context, pair)
        except NoPassword:
            found = f"{tls.key} with a password"
            raise ConfigError(file, "tls.key", found, "a key without a password") from None
        except (OSError, ValueError) as error:
            _check_certificate(certificate, tls, file)
            found = f"{tls.key} and {tls.certificate}: {_reason(error)}"
            expected = "a key in PEM form and the certificate of that key"
            if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
                found = (
                    f"{tls.key}, which does not belong to {tls.certificate} (key values mismatch)"
                )
                expected = "the key of that certificate: copy both files of this node again"
            raise ConfigError(file, "tls.key", found, expected) from None
    # We never resume a session, and a ticket nobody reads makes a closing socket reset the
    # connection.
    server.num_tickets = 0
    return Credentials(
        client=client, server=server, digest=hashlib.sha256(ca + b"\0" + pair).digest()
    )


def _check_certificate(certificate: bytes, tls: TlsConfig, file: str) -> None:
    """Raise ConfigError if the certificate alone is what can't be read.

    The library does not tell, and may blame the key.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=certificate.decode("ascii", "ignore")
        )
    except (OSError, ValueError) as error:
        found = f"{tls.certificate}: {_reason(error)}"
        raise ConfigError(
            file, "tls.certificate", found, "a whole certificate in PEM form"
        ) from None


def _load_pair(context: ssl.SSLContext, pair: bytes) -> None:
    """Load a certificate and its key, which the library takes from a file only: one in memory."""
    with open(os.memfd_create("node"), "wb") as file:
        file.write(pair)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_refuse_password)


def rehearse(credentials: Credentials) -> dict[str, Any]:
    """Return our own certificate as the other side of a link sees it.

    Raises:
        ssl.SSLError: No link could come of it.
        UnicodeDecodeError: A name in it is no text.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = credentials.client.wrap_bio(to_client, to_server)
    server = credentials.server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(ROUNDS_MAX):
        if _step(client) & _step(server):
            shown = client.getpeercert()
            assert shown is not None, "verified, so it was shown"
            return dict(shown)
    raise ssl.SSLError("no end of the handshake")


def _step(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def names_shown(side: ssl.SSLSocket | ssl.SSLObject) -> frozenset[str]:
    """Return the names in the certificate of the other side.

    None if it has one that can't be read.
    """
    try:
        return names_in(side.getpeercert())
    except UnicodeDecodeError:  # the CA signed it, so nobody else looked
        return frozenset()


def names_in(certificate: dict[str, Any] | None) -> frozenset[str]:
    """Return the DNS names of a certificate that `getpeercert` gave.

    Its common name if it has none.
    """
    found = certificate or {}
    names = frozenset(name for kind, name in found.get("subjectAltName", ()) if kind == "DNS")
    if names:
        return names
    return frozenset(
        value for part in found.get("subject", ()) for key, value in part if key == "commonName"
    )


def show_names(names: frozenset[str]) -> str:
    """Return the names of a certificate as a log shows them: their signer may have put anything there."""
    shown = [name if name.isprintable() else ascii(name) for name in sorted(names)]
    return ", ".join(shown) or "no name"


def end_of(certificate: dict[str, Any]) -> float:
    """Return when a certificate ends, in seconds since 1970."""
    return float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))


def end_of_issuer(certificate: dict[str, Any], context: ssl.SSLContext) -> float:
    """Return when the CA of a certificate ends, of several with its name the last one.

    Never if none has it.
    """
    ends = [
        end_of(each)
        for each in context.get_ca_certs()
        if each.get("subject") == certificate.get("issuer")
    ]
    return max(ends, default=math.inf)


def _refuse_password() -> str:
    raise NoPassword


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    strerror = getattr(error, "strerror", None)
    return str(strerror or error).lower()


def _read(path: Path, key: str, file: str, *, is_private: bool = False) -> bytes:
    """Return what a file holds; what is judged is what was opened.

    Raises:
        ConfigError: It can't be read, is no regular file, too large, or private and open to others.
    """
    try:
        # Opening a pipe would wait for somebody who writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ConfigError(file, key, f"no file {path}", "a file in PEM form") from None
    except OSError as error:
        found = f"{path}: {_reason(error)}"
        raise ConfigError(file, key, found, "a readable file in PEM form") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(file, key, f"{path}, which is no regular file", "a file in PEM form")
        mode = stat.S_IMODE(status.st_mode)
        if is_private and mode & OPEN_TO_OTHERS:
            found = f"{path} with mode {mode:04o}"
            raise ConfigError(
                file, key, found, "a key that others can't read or change, such as mode 0600"
            )
        data = os.read(descriptor, PEM_BYTES_MAX + 1)
    except OSError as error:
        found = f"{path}: {_reason(error)}"
        raise ConfigError(file, key, found, "a readable file in PEM form") from None
    finally:
        os.close(descriptor)
    if len(data) > PEM_BYTES_MAX:
        raise ConfigError(file, key, f"{path}, which is larger", f"at most {PEM_BYTES_MAX} bytes")
    return data
