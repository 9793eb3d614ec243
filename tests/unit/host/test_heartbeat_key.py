"""What a reload does with the key of heartbeats."""

import logging
import random

import pytest
import trio
from trio.testing import MockClock

from config.model import TimersConfig
from heartbeat.service import HeartbeatService
from heartbeat.swim import Swim
from nodemanager.ids import Incarnation, NodeId
from ramsterd.host.heartbeat_key import replace_heartbeat_key
from tests.fakes.datagram_network import SimDatagramNetwork
from tests.helpers.clusters import cluster_of

OLD, NEW = bytes(32), bytes([1]) * 32


def service() -> HeartbeatService:
    return HeartbeatService(
        cluster_of(2),
        NodeId(0),
        detector=Swim(
            [NodeId(1)],
            NodeId(0),
            Incarnation(1),
            TimersConfig(),
            now=trio.current_time(),
            rng=random.Random(0),
        ),
        datagram_socket=SimDatagramNetwork(rng=random.Random(0)).bind(("127.0.0.1", 7700)),
        on_verdicts=lambda _: None,
        key=OLD,
    )


async def test_a_new_key_is_told_and_the_same_one_is_not(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    heartbeat = service()
    for key in (OLD, NEW, NEW):
        replace_heartbeat_key(key, heartbeat)
    assert caplog.messages == [
        "the new heartbeat key is loaded; the old one is accepted for 10 more minutes"
    ]
    assert not heartbeat.on_key_changed(NEW)
