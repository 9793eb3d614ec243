"""The CA of a cluster, with its key: makes certificates.

Needs the `cryptography` package (the extra `tls`), which the daemon does not; so
`ramsterd.provision.node_folders` imports this module only when it is wanted.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# RFC 5280, ub-common-name.
COMMON_NAME_CHARACTERS_MAX: Final = 64
# Clocks of new machines are not yet in step.
BACKDATED: Final = timedelta(hours=1)
# A CA outlives the certificates of its first day: to renew those is easy, to change the CA is not.
CA_DAYS_MIN: Final = 7300


class BadAuthority(ValueError):
    """The files of a CA are not what they should be."""


class Authority:
    """A CA that can sign."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def new(cls, cluster: str, days: int) -> "Authority":
        """Make one for a cluster, valid for `days` or longer."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(f"ramster {cluster} CA"[:COMMON_NAME_CHARACTERS_MAX])
        end = datetime.now(UTC) + timedelta(days=max(days, CA_DAYS_MIN))
        builder = (
            _builder(subject, key, end, issuer=subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(signs_nodes=True), critical=True)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def load(cls, folder: Path) -> "Authority":
        """Return the one whose files are in a folder.

        Raises:
            BadAuthority: They are no key and certificate of a CA, or it has ended.
            OSError: They can't be read.
        """
        try:
            key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        except (ValueError, TypeError) as error:
            raise BadAuthority(f"no usable ca.key and ca.pem: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise BadAuthority("found a ca.key of another kind, expected EC")
        if key.public_key() != certificate.public_key():
            raise BadAuthority("found a ca.key that is not of ca.pem")
        authority = cls(key, certificate)
        if authority.end < datetime.now(UTC):
            raise BadAuthority(f"the CA ended on {authority.end:%Y-%m-%d}; expected a valid one")
        return authority

    @property
    def end(self) -> datetime:
        """Return when it ends."""
        return self._certificate.not_valid_after_utc

    @property
    def key_pem(self) -> bytes:
        """Return its private key."""
        return _key_pem(self._key)

    @property
    def certificate_pem(self) -> bytes:
        """Return its certificate."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, name: str, days: int) -> tuple[bytes, bytes]:
        """Return the certificate and the private key of a node; it ends with us at the latest."""
        key = ec.generate_private_key(ec.SECP256R1())
        end = min(datetime.now(UTC) + timedelta(days=days), self.end)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_name(name), key, end, issuer=self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(key_usage(signs_nodes=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(Encoding.PEM), _key_pem(key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime, *, issuer: x509.Name
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def key_usage(*, signs_nodes: bool) -> x509.KeyUsage:
    """Return what a key is for: a CA's signs certificates, a node's signs handshakes."""
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


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
