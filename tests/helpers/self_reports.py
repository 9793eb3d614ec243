"""What a node says of itself."""

from ramsterd.asking.self_report import SelfReport, Sight

SIGHT = Sight(state="up", is_linked=True, link_reason="", heartbeat_seconds=0.5)
REPORT = SelfReport(
    version="1.2.0",
    build="from source",
    clock_seconds=1.7e9,
    uptime_seconds=7.0,
    membership_version=3,
    cluster_digest="abc",
    sees=SIGHT,
)
