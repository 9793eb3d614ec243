"""What this node says of itself when a link opens."""

from config.limits import PAGE_BYTES
from config.model import ClusterConfig
from net.hello import Hello
from nodemanager.ids import NodeId
from ramsterd.asking.messages import ANSWERS_COMMANDS
from ramsterd.core.codec import Codec
from ramsterd.pagepath.engine import Engine
from ramsterd.pagepath.own_status import ASKS_LINKS


def hello_of(engine: Engine, cluster: ClusterConfig) -> Hello:
    """Return the HELLO of the node of an engine."""
    local = engine.nodes.local_config
    return Hello(
        cluster=cluster.name,
        number=NodeId(local.number),
        name=local.name,
        incarnation=engine.incarnation,
        unit_bytes=PAGE_BYTES,
        codecs=tuple(codec.name.lower() for codec in Codec),
        timers=cluster.timers,
        attach_count=engine.attach_count,
        features=ANSWERS_COMMANDS | ASKS_LINKS,
    )
