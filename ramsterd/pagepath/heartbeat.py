"""The heartbeat of a node, as its engine is."""

import random
from collections.abc import Callable

from config.model import ClusterConfig
from heartbeat.service import HeartbeatService
from heartbeat.swim import Swim
from heartbeat.udp import DatagramSocket
from nodemanager.ids import NodeId
from nodemanager.states import Verdict
from ramsterd.host.loop_clock import world_time
from ramsterd.pagepath.engine import Engine


def new_heartbeat(
    engine: Engine,
    cluster: ClusterConfig,
    *,
    datagram_socket: DatagramSocket,
    on_verdicts: Callable[[list[Verdict]], None],
    on_begun: Callable[[NodeId], None],
    on_ask_link: Callable[[NodeId], None],
    key: bytes | None,
    rng: random.Random,
) -> HeartbeatService:
    """Return it; nothing is sent before it runs."""
    local = engine.nodes.local
    return HeartbeatService(
        cluster,
        local,
        detector=Swim(
            engine.nodes.nodes(),
            local,
            engine.incarnation,
            cluster.timers,
            now=world_time(),
            rng=rng,
        ),
        datagram_socket=datagram_socket,
        on_verdicts=on_verdicts,
        on_begun=on_begun,
        on_ask_link=on_ask_link,
        key=key,
        attach_count=engine.attach_count,
        now=world_time,
    )
