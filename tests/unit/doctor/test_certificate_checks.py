"""The certificate and the keys of a node: found, judged, and read from real files."""

import dataclasses
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.model import TlsConfig
from ramsterd.doctor.certificate_checks import check_certificate
from ramsterd.doctor.certificates import read_certificate
from ramsterd.doctor.findings import State
from ramsterd.doctor.surroundings import Certificate
from ramsterd.host.validity import WARN_SECONDS
from ramsterd.provision.ca import Authority
from tests.helpers.doctor_facts import BEFORE, FACTS, daemon_config
from tests.helpers.doctor_surroundings import DAY

CONFIG = Path("/etc/ramster/ramsterd.toml")
WRONG = ConfigError("ramsterd.toml", "tls.key", "k.pem with mode 0644", "a key that is private")


def test_a_certificate_that_is_good_says_how_long() -> None:
    finding = check_certificate(FACTS, Certificate(is_used=True, seconds_left=100.5 * DAY))
    assert finding.state is State.OK
    assert finding.found.endswith("100 days left")
    assert check_certificate(FACTS, Certificate(is_used=False)).state is State.OK


def test_one_that_ends_soon_is_a_warning_with_the_line_that_renews_it() -> None:
    ending = Certificate(is_used=True, seconds_left=WARN_SECONDS - 1)
    finding = check_certificate(FACTS, ending)
    assert (finding.state, finding.found) == (State.WARNING, "29 days left")
    assert finding.fix.endswith("copy the files, then: ramsterctl config reload")
    assert check_certificate(BEFORE, ending).fix.endswith("systemctl start ramsterd.service")


def test_files_that_are_wrong_are_an_error_before_the_start() -> None:
    finding = check_certificate(FACTS, Certificate(is_used=True, problem=WRONG))
    assert finding.state is State.ERROR
    assert finding.found == "tls.key: k.pem with mode 0644"
    assert finding.expected == "a key that is private"
    assert "ramsterd check-config" in finding.fix


def test_what_this_user_may_not_read_is_not_called_wrong() -> None:
    secret = Certificate(is_used=True, problem=WRONG, is_unreadable=True)
    finding = check_certificate(FACTS, secret)
    assert (finding.state, finding.fix) == (State.WARNING, "ramsterctl doctor, as root")


@pytest.fixture
def tls(tmp_path: Path) -> TlsConfig:
    authority = Authority.new("test", 100)
    certificate, key = authority.issue("node0", 90)
    for name, data in (
        ("ca.pem", authority.certificate_pem), ("node.pem", certificate), ("node.key", key),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    return TlsConfig(
        ca=tmp_path / "ca.pem", certificate=tmp_path / "node.pem", key=tmp_path / "node.key"
    )


def test_real_files_are_read_as_the_daemon_reads_them(tls: TlsConfig) -> None:
    daemon = dataclasses.replace(daemon_config(), tls=tls)
    good = read_certificate(daemon, CONFIG)
    assert good.problem is None
    assert good.seconds_left is not None
    assert 89 * DAY < good.seconds_left < 91 * DAY
    other = dataclasses.replace(daemon, node="node1")
    named = read_certificate(other, CONFIG).problem
    assert named is not None
    assert named.expected == "one for node1, the name of this node"
    missing = read_certificate(dataclasses.replace(daemon, heartbeat_key=Path("/none")), CONFIG)
    assert missing.problem is not None
    assert missing.problem.key == "heartbeat_key"
    assert read_certificate(daemon_config(), CONFIG) == Certificate(is_used=False)


def test_a_file_without_the_right_to_read_it_is_told_apart(
    tls: TlsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("f", "tls.key", "k.pem: permission denied", "a readable file")

    monkeypatch.setattr("ramsterd.doctor.certificates.load_own_credentials", refuse)
    assert read_certificate(daemon_config(), CONFIG).is_unreadable
