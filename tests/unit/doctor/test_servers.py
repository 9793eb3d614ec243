"""Is an NBD server the daemon of this node."""

from dataclasses import replace

import pytest

from config.model import NbdConfig
from ramsterd.attach.words import attached_to, identifier_of
from ramsterd.doctor.servers import is_own_server, may_be_of_this_machine
from tests.helpers.doctor_facts import daemon_config

BOTH = replace(
    daemon_config(),
    nbd=replace(daemon_config().nbd, listen="127.0.0.1:10809"),
)


@pytest.mark.parametrize(
    ("server", "is_own"),
    [
        ("/run/ramster/nbd.sock", True),
        ("/run/../run/ramster//nbd.sock", True),
        ("/var/run/ramster/nbd.sock", True),
        ("/run/other/nbd.sock", False),
        ("127.0.0.1:10809", True),
        ("127.0.0.1:10810", False),
        ("192.0.2.1:10809", False),
        ("anything", False),
    ],
)
def test_a_server_is_the_own_daemon_where_that_listens(server: str, is_own: bool) -> None:
    assert is_own_server(server, BOTH) is is_own
    assert not is_own_server(server, replace(BOTH, nbd=NbdConfig()))


@pytest.mark.parametrize(
    ("server", "may_be"), [("/a", True), ("[::1]:1", True), ("192.0.2.1:1", False)]
)
def test_a_socket_and_a_loopback_address_are_of_this_machine(server: str, may_be: bool) -> None:
    assert may_be_of_this_machine(server) is may_be


def test_what_a_device_is_attached_to_is_read_back() -> None:
    assert attached_to(identifier_of("swap0", "/run/a b")) == ("swap0", "/run/a b")
    assert attached_to("") is None
    assert attached_to("qemu of /x") is None
