"""Each mistake in the files of [tls] is one line; a good set says its name and its end."""

import math
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.model import TlsConfig
from net.certificates import (
    PEM_BYTES_MAX,
    end_of,
    end_of_issuer,
    load_credentials,
    names_in,
)
from tests.helpers.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


def mistake(tls: TlsConfig, node: str = "node1") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_credentials(tls, node=node, file="ramsterd.toml")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("ramsterd.toml: tls.")
    return caught.value


def test_good_files_say_whose_they_are_and_until_when(authority: Authority) -> None:
    loaded = load_credentials(authority.issue("node1", days=3), node="node1", file="f")
    assert loaded.names == {"node1"}
    assert abs(loaded.expires_at - time.time() - 3 * 86_400) < 60  # noqa: TID251  dates are


def test_the_certificate_of_another_node(authority: Authority) -> None:
    found = mistake(authority.issue("node2"))
    assert found.key == "tls.certificate"
    assert found.found.endswith("node2.pem for node2")
    assert found.expected == "one for node1, the name of this node"


def test_an_expired_certificate(authority: Authority) -> None:
    found = mistake(authority.issue("node1", days=-1))
    assert (found.key, found.found.split(": ")[1]) == (
        "tls.certificate",
        "certificate has expired",
    )


def test_a_foreign_certificate(authority: Authority, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "foreign").issue("node1")
    found = mistake(replace(foreign, ca=authority.ca))
    assert found.key == "tls.certificate"
    assert "ours/ca.pem vouches for" in found.expected


@pytest.mark.parametrize("field", ["ca", "certificate", "key"])
def test_a_missing_file(authority: Authority, field: str, tmp_path: Path) -> None:
    found = mistake(replace(authority.issue("node1"), **{field: tmp_path / "gone"}))
    assert (found.key, found.found) == (f"tls.{field}", f"no file {tmp_path / 'gone'}")


@pytest.mark.parametrize("field", ["ca", "certificate", "key"])
def test_a_file_that_is_no_pem(authority: Authority, field: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    found = mistake(replace(authority.issue("node1"), **{field: tmp_path / "text"}))
    assert found.key == f"tls.{field}"
    assert "PEM form" in found.expected


@pytest.mark.parametrize("field", ["certificate", "key"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_blamed_itself(
    authority: Authority, field: str, part: float
) -> None:
    tls = authority.issue("node1")
    path: Path = getattr(tls, field)
    text = path.read_bytes().rstrip()
    path.write_bytes(text[: int(len(text) * part)])
    assert mistake(tls).key == f"tls.{field}"


def test_a_folder_is_no_file(authority: Authority, tmp_path: Path) -> None:
    assert "no regular file" in mistake(replace(authority.issue("node1"), ca=tmp_path)).found


def test_a_key_that_everyone_can_read(authority: Authority) -> None:
    tls = authority.issue("node1")
    tls.key.chmod(0o644)
    found = mistake(tls)
    assert found.found.endswith("node1.key with mode 0644")
    tls.key.chmod(0o660)
    assert mistake(tls).expected == "a key that others can't read or change, such as mode 0600"
    tls.key.chmod(0o640)
    load_credentials(tls, node="node1", file="f")


def test_a_pipe_is_not_waited_for(authority: Authority, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for field in ("ca", "certificate", "key"):
        found = mistake(replace(authority.issue("node1"), **{field: tmp_path / "pipe"}))
        assert "no regular file" in found.found


def test_a_file_without_an_end(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(PEM_BYTES_MAX + 1))
    found = mistake(replace(authority.issue("node1"), certificate=tmp_path / "long"))
    assert found.expected == f"at most {PEM_BYTES_MAX} bytes"


def test_words_between_certificates_may_be_in_any_language(authority: Authority) -> None:
    tls = authority.issue("node1")
    tls.ca.write_bytes("# Zertifikat für alle\n".encode() + tls.ca.read_bytes())
    assert load_credentials(tls, node="node1", file="f").names == {"node1"}


def test_a_certificate_ends_with_its_ca(authority: Authority) -> None:
    """trustme's CA ends after everybody who runs a test, but before this."""
    ends = load_credentials(authority.issue("node1", days=400_000), node="node1", file="f")
    (ca,) = ends.client.get_ca_certs()
    assert ends.expires_at == end_of(ca)
    soon = load_credentials(authority.issue("node1", days=3), node="node1", file="f")
    assert soon.expires_at < ends.expires_at
    assert end_of_issuer({"issuer": "another"}, soon.client) == math.inf


def test_the_key_of_another_certificate(authority: Authority) -> None:
    found = mistake(replace(authority.issue("node1"), key=authority.issue("node2").key))
    assert "mismatch" in found.found


def test_a_key_with_a_password_does_not_ask_for_it(authority: Authority) -> None:
    from cryptography.hazmat.primitives import serialization as pem  # noqa: PLC0415

    tls = authority.issue("node1")
    key = pem.load_pem_private_key(tls.key.read_bytes(), None)
    sealed = key.private_bytes(
        pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(os.urandom(8))
    )
    tls.key.write_bytes(sealed)
    assert mistake(tls).expected == "a key without a password"


def test_the_common_name_counts_without_other_names() -> None:
    subject = ((("commonName", "alpha"),),)
    assert names_in({"subject": subject}) == {"alpha"}
    assert names_in({"subject": subject, "subjectAltName": (("DNS", "beta"),)}) == {"beta"}
    assert names_in(None) == set()
