import logging
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from net.certificates import Credentials, load_credentials
from net.tls import TlsTransport
from ramsterd.host import certificate
from ramsterd.host.certificate import LOOK_SECONDS, CertificateKeeper
from ramsterd.host.validity import DAY_SECONDS, WARN_SECONDS, format_span
from tests.helpers.authority import Authority

NOW = 1_000_000_000.0


def credentials(tmp_path: Path, seconds_left: float) -> Credentials:
    loaded = Authority(tmp_path).credentials("n1")
    return replace(loaded, expires_at=NOW + seconds_left)


def keeper(old: Credentials) -> CertificateKeeper:
    return CertificateKeeper(TlsTransport(old), clock=lambda: NOW)


@pytest.mark.parametrize(
    ("seconds_left", "line"),
    [
        (WARN_SECONDS + 1, ""),
        (
            WARN_SECONDS - 43_200,
            (
                "the certificate of this node is valid until 2001-10-08, 29 days left: renew it with"
                " `ramsterctl cluster renew`"
            ),
        ),
        (
            -1,
            "no new links: the certificate of this node has expired; renew it with `ramsterctl cluster renew`",
        ),
    ],
)
def test_the_end_is_announced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seconds_left: float, line: str
) -> None:
    caplog.set_level(logging.INFO)
    keeper(credentials(tmp_path, seconds_left)).warn()
    assert caplog.messages == ([line] if line else [])


def test_new_files_replace_the_old(tmp_path: Path) -> None:
    new = credentials(tmp_path, 20)
    kept = keeper(credentials(tmp_path, 10))
    kept.replace(new)
    assert kept.transport.credentials is new
    assert kept.seconds_left() == 20


def test_a_reload_of_the_same_files_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    authority = Authority(tmp_path)
    files = authority.issue("n1")
    old, same = (load_credentials(files, node="n1", file="f") for _ in range(2))
    kept = CertificateKeeper(TlsTransport(old))
    kept.replace(same)
    assert not any("is loaded" in each for each in caplog.messages)
    kept.replace(load_credentials(authority.issue("n1"), node="n1", file="f"))
    assert any(
        "the new certificate is loaded and is valid until" in each for each in caplog.messages
    )


async def test_the_end_is_said_when_it_comes_and_what_lasts_is_said_again(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certificate, "AGAIN_SECONDS", 100.0)
    left = [WARN_SECONDS + 1.0]
    loaded = credentials(tmp_path, 0)
    kept = CertificateKeeper(TlsTransport(loaded), clock=lambda: NOW - left[0])

    def said() -> list[str]:
        found = [vars(record)["event"]["event"] for record in caplog.records]
        caplog.clear()
        return found

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.watch)
        await trio.sleep(50)
        assert said() == []
        left[0] = WARN_SECONDS - 1
        await trio.sleep(LOOK_SECONDS + 1)
        assert said() == ["certificate_expiring"]
        await trio.sleep(200)
        assert said() == ["certificate_expiring"] * 2
        left[0] = -1.0
        await trio.sleep(LOOK_SECONDS + 1)
        assert said() == ["certificate_expired"]
        kept.replace(replace(loaded, expires_at=NOW + 9.0))
        assert said() == ["certificate_expiring"]
        await trio.sleep(LOOK_SECONDS + 1)
        assert said() == [], "a reload said it already"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(29.9 * DAY_SECONDS, "29 days"), (DAY_SECONDS, "1 day"), (7_500, "2h 5m"), (7, "7s")],
)
def test_a_span_is_in_days_until_hours_count(seconds: float, text: str) -> None:
    assert format_span(seconds) == text
