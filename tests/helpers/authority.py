"""Certificates for tests: a CA in memory, and the files it signs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from config.model import TlsConfig
from net.certificates import Credentials, load_contexts


class Authority:
    """A CA whose files lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca))

    def issue(self, name: str, *, days: float = 30.0) -> TlsConfig:
        """Write a certificate and its key; one with negative days has expired."""
        now = datetime.now(UTC)
        issued = self._ca.issue_cert(
            name, not_before=now - timedelta(days=60), not_after=now + timedelta(days=days)
        )
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        key.chmod(0o600)
        return TlsConfig(ca=self.ca, certificate=certificate, key=key)

    def credentials(self, name: str, *, days: float = 30.0) -> Credentials:
        """Return credentials without judging them: tests want bad ones too."""
        return load_contexts(self.issue(name, days=days), file="test")
