"""This node's certificate: load it, judge it before anybody else does, know when it ends.

The standard library shows a certificate only to the other side of a handshake.  So ours is judged by one with
ourselves, in memory: that proves in one go that key and certificate fit, that the CA signed it, that it is valid
now, and that it may be used on both sides of a link.
"""

import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.errors import ConfigError
from config.model import TlsConfig

# Larger files are not what they should be.
PEM_BYTES_MAX: Final = 1024 * 1024
# A handshake in memory needs two rounds; more means that it goes nowhere.
ROUNDS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a link needs: one context for each side; and what our own certificate says."""

    client: ssl.SSLContext
    server: ssl.SSLContext
    names: frozenset[str] = frozenset()
    # Seconds since 1970: the end of our certificate is wall clock, by its nature.
    expires_at: float = 0.0


class NoPassword(ValueError):
    """A private key wants a password, and nobody is there to type it."""


def load_credentials(tls: TlsConfig, *, node: str, file: str) -> Credentials:
    """Return the credentials that `[tls]` of `file` names, after a rehearsal.

    Raises:
        ConfigError: A file can't be read, is too open, does not fit the others, or names another node.
    """
    for key, path in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key)):
        _check_file(path, f"tls.{key}", file)
    _check_private(tls.key, file)
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
        found = f"{tls.certificate} for {', '.join(sorted(names)) or 'no name'}"
        raise ConfigError(file, "tls.certificate", found, f"one for {node}, the name of this node")
    expires_at = float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
    return Credentials(
        client=loaded.client, server=loaded.server, names=names, expires_at=expires_at
    )


def load_contexts(tls: TlsConfig, *, file: str) -> Credentials:
    """Return contexts for both sides, without a judgement on the certificate.

    Raises:
        ConfigError: A file does not hold what it should.
    """
    client, server = (
        ssl.SSLContext(purpose) for purpose in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)
    )
    for context in (client, server):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Names of nodes are no host names: net.mesh compares them with HELLO.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cafile=tls.ca)
        except (OSError, ValueError) as error:
            found = f"{tls.ca}: {_reason(error)}"
            raise ConfigError(file, "tls.ca", found, "certificates in PEM form") from None
        try:
            context.load_cert_chain(tls.certificate, tls.key, password=_refuse_password)
        except NoPassword:
            found = f"{tls.key} with a password"
            raise ConfigError(file, "tls.key", found, "a key without a password") from None
        except (OSError, ValueError) as error:
            found = f"{tls.key} and {tls.certificate}: {_reason(error)}"
            raise ConfigError(
                file, "tls.key", found, "a key in PEM form and the certificate of that key"
            ) from None
    # We never resume a session, and a ticket nobody reads makes a closing socket reset the connection.
    server.num_tickets = 0
    return Credentials(client=client, server=server)


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
    """Return the names in the certificate of the other side; none if it has one that can't be read."""
    try:
        return names_in(side.getpeercert())
    except UnicodeDecodeError:  # the CA signed it, so nobody else looked
        return frozenset()


def names_in(certificate: dict[str, Any] | None) -> frozenset[str]:
    """Return the DNS names of a certificate that `getpeercert` gave; its common name if it has none."""
    found = certificate or {}
    names = frozenset(name for kind, name in found.get("subjectAltName", ()) if kind == "DNS")
    if names:
        return names
    return frozenset(
        value for part in found.get("subject", ()) for key, value in part if key == "commonName"
    )


def _refuse_password() -> str:
    raise NoPassword


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    strerror = getattr(error, "strerror", None)
    return str(strerror or error).lower()


def _check_file(path: Path, key: str, file: str) -> None:
    try:
        if not path.is_file():
            found = f"{path}, which is no regular file" if path.exists() else f"no file {path}"
            raise ConfigError(file, key, found, "a file in PEM form")
        if path.stat().st_size > PEM_BYTES_MAX:
            found = f"{path}, which is larger"
            raise ConfigError(file, key, found, f"at most {PEM_BYTES_MAX} bytes")
        with path.open("rb"):
            pass
    except OSError as error:
        found = f"{path}: {_reason(error)}"
        raise ConfigError(file, key, found, "a readable file in PEM form") from None


def _check_private(path: Path, file: str) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXO:
        found = f"{path} with mode {mode:04o}"
        raise ConfigError(file, "tls.key", found, "a key that others can't read, such as mode 0600")
