"""A DNS name of bytes that are no text: the library raises, and that must cost no more than a link."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.model import TlsConfig
from net.certificates import load_contexts, load_credentials
from net.tls import TlsTransport
from tests.fuzz.targets.credentials import ca_pem, certificate, key_pem, pem, sign
from tests.helpers.mesh_pair import Pair, check_refused


def files(folder: Path, shown: bytes) -> TlsConfig:
    folder.mkdir()
    contents = {"ca": ca_pem(), "certificate": shown, "key": key_pem()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "key").chmod(0o600)
    return TlsConfig(**{name: folder / name for name in contents})


def unreadable(folder: Path) -> TlsConfig:
    body = certificate("x", alternatives=("node2",)).tbs_certificate_bytes
    assert body.count(b"node2") == 1
    return files(folder, sign(body.replace(b"node2", b"node\xd1")))


async def test_a_member_with_such_a_certificate_gets_no_link_and_ends_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = load_contexts(files(tmp_path / "good", pem(certificate("node1"))), file="f")
    bad = load_contexts(unreadable(tmp_path / "bad"), file="f")
    pair = Pair(TlsTransport(good), TlsTransport(bad))
    reason = "the certificate is for no name, not for node2"
    await check_refused(pair, caplog, reason, reason)


def test_such_a_certificate_of_our_own_is_a_mistake_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_credentials(unreadable(tmp_path / "bad"), node="node2", file="ramsterd.toml")
    assert caught.value.key == "tls.certificate"
    assert caught.value.found.endswith("with a name that can't be read")
