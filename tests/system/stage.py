"""A stage for incidents: a cluster as an operator has it, a Prometheus with our rules, and viewers.

Viewers look at the status pages.

Timers, timeouts and rules are those that an operator gets; budgets and sockets are the test's.  Prometheus scrapes
every two seconds: the example of config/prometheus has five, which adds three to a scrape and three to an evaluation.

When something was said is taken from who said it: the clock of the daemon, or that of Prometheus.
"""

import http.client
import json
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from config.event_kinds import EventKind
from tests.helpers.incidents import SECONDS_MAX, Said
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.helpers.prometheus import Prometheus, prometheus
from tests.system.daemons import Cluster, Node, free_ports, wait_until

T = TypeVar("T")

INTERVAL: Final = "2s"
# How long a test waits on a machine that is busy; what it sees is judged by when it was said.
WAIT_SECONDS_MAX: Final = 90.0
# How much later a machine that is busy may say something, at most.
FORGIVEN_SECONDS_MAX: Final = 20.0
# Pressure stall information, counted since the start of the machine.
PRESSURE: Final = Path("/proc/pressure/cpu")
_TEST_TIMERS: Final = re.compile(r"^\[timers\]\n(?:\w+ = .*\n)+", re.MULTILINE)
_TEST_TIMEOUTS: Final = re.compile(r"^(?:request|fetch|put_wait)_seconds_max = .*\n", re.MULTILINE)


def give_operators_settings(cluster: Cluster) -> dict[str, int]:
    """Take the timers of the tests out of the files, and give each node a metrics port.

    That nobody keeps memory is meant so: it is no finding.

    Returns:
        The ports by the names of the nodes.
    """
    ports = free_ports(len(cluster.nodes))
    members = cluster[1].config.with_name("cluster.toml")
    members.write_text(_TEST_TIMERS.sub("", members.read_text()))
    for node, port in zip(cluster, ports, strict=True):
        text = _TEST_TIMEOUTS.sub("", node.config.read_text())
        text = text.replace("[memory]\n", '[memory]\nkeep = "no"\n')
        node.config.write_text(f'{text}[metrics]\nlisten = "127.0.0.1:{port}"\n')
    return {node.name: port for node, port in zip(cluster, ports, strict=True)}


def typed(node: Node, *words: str) -> str:
    """Return what `ramsterctl` prints on a node, whatever its exit status."""
    done = run_program(
        [*RAMSTERCTL, "--socket", str(node.control), *words],
        capture_output=True, check=False, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    return done.stdout


def moment(text: str) -> float:
    """Return a time of JSON in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def waited_seconds() -> float:
    """Return for how long something on this machine has waited for a processor; 0 where nobody counts that."""
    if not PRESSURE.exists():
        return 0.0
    return int(PRESSURE.read_text().split("total=")[1].split()[0]) / 1e6


class Viewer:
    """Keeps each picture of the status page of a node, as a browser draws them (tests/system/test_status_page.py)."""

    def __init__(self, port: int) -> None:
        self.pictures: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._look, args=(port,), daemon=True)
        self._thread.start()

    def _look(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}/feed"
        # The daemon ends, or is killed.
        with suppress(OSError, http.client.HTTPException), urllib.request.urlopen(url) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    self.pictures.append(json.loads(line.removeprefix(b"data: ")))

    def wait_end(self) -> None:
        """Wait until the daemon has ended."""
        self._thread.join(WAIT_SECONDS_MAX)
        assert not self._thread.is_alive()


class Stage:
    """What can be seen of a cluster that runs."""

    def __init__(self, server: Prometheus, viewers: dict[str, Viewer]) -> None:
        self._server = server
        self._viewers = viewers

    def check_all_say(self, node: Node, said: Said, *, began_at: float) -> None:
        """See what a node says of an incident in all four places, and that it says so in time.

        A machine that has too much to do has as much more time as something on it waited for a
        processor, but no more than `FORGIVEN_SECONDS_MAX` in all: the count is of the whole
        machine, and would excuse a slow daemon too.
        """
        waited_before = waited_seconds()
        told_at = {
            "health": self._in_health(node, said),
            "events": max(self._in_events(node, said)),
            "alert": self.wait_alert(said, node.name),
            "page": self._on_page(node, said),
        }
        seconds = {place: round(at - began_at, 1) for place, at in told_at.items()}
        waited = waited_seconds() - waited_before
        forgiven = min(waited, FORGIVEN_SECONDS_MAX)
        print(f"{said.code.value} after {seconds} s; this machine waited for {waited:.1f} s")
        assert max(seconds.values()) <= SECONDS_MAX + forgiven, seconds

    def _in_health(self, node: Node, said: Said) -> float:
        def found() -> float:
            shown = node.ask("overview")
            findings = _of(said, shown["health"])
            return next((shown["at"] - each["active_seconds"] for each in findings), 0.0)

        since = _wait(found, f"health of {node.name} says {said.code.value}")
        text = typed(node, "health")
        print(text)
        head, *lines = text.splitlines()
        assert head.startswith(("WARN", "ERR")), head
        rows = [line.split() for line in lines]
        assert [said.severity.name, said.code.value] in [row[:2] for row in rows], lines
        assert f"         type: {said.command}" in lines
        return since

    def _in_events(self, node: Node, said: Said) -> list[float]:
        wanted = {EventKind.HEALTH_CHANGED, *said.kinds}

        def kinds() -> set[str]:
            events = node.ask("events", after=0, kinds=sorted(wanted))["events"]
            return {each["kind"] for each in events}

        _wait(lambda: kinds() == wanted, f"{node.name} has events of all kinds")

        def found() -> list[float]:
            lines = typed(node, "events", "-o", "json").splitlines()
            events = [json.loads(line) for line in lines]
            changes = [
                event
                for event in events
                if event["kind"] == EventKind.HEALTH_CHANGED
                and event["fields"]["code"] == said.code.value
                and event["fields"]["severity"] != "ok"
            ]
            firsts = [
                next((each for each in events if each["kind"] == kind), None) for kind in said.kinds
            ]
            if not changes or None in firsts:
                return []
            assert changes[0]["text"].endswith(f"; type: {said.command}")
            told = [each for each in (*firsts, changes[0]) if each is not None]
            print(*(f"{each['time']} {each['kind']}: {each['text']}" for each in told), sep="\n")
            return [moment(each["time"]) for each in told]

        return _wait(found, f"events of {node.name} tell of {said.code.value}")

    def wait_alert(self, said: Said, instance: str) -> float:
        """Return since when the alert of an incident is there, in the state that it is to have."""
        alert = self.wait_alert_named(said.alert, instance, said.alert_state)
        assert alert["labels"]["severity"] == said.alert_severity
        assert alert["annotations"]["description"].endswith(f" type: {said.alert_command}")
        assert alert["annotations"]["runbook_url"].endswith(f"#{said.code.value.lower()}")
        return moment(alert["activeAt"])

    def wait_alert_named(self, name: str, instance: str, state: str) -> dict[str, Any]:
        """Return an alert as Prometheus has it, once it is in a state."""

        def found() -> dict[str, Any]:
            alerts: list[dict[str, Any]] = self._server.ask("/api/v1/alerts")["alerts"]
            wanted = (name, instance, state)
            for each in alerts:
                labels = each["labels"]
                if (labels["alertname"], labels.get("instance"), each["state"]) == wanted:
                    return each
            return {}

        return _wait(found, f"{name} of {instance} is {state}")

    def _on_page(self, node: Node, said: Said) -> float:
        pictures = self._viewers[node.name].pictures

        def found() -> float:
            return next((each["at"] for each in pictures if any(_of(said, each["health"]))), 0.0)

        return _wait(found, f"the page of {node.name} shows {said.code.value}")


def _of(said: Said, health: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the finding that is looked for, if it holds."""
    wanted = (said.code.value, said.severity.name.lower(), said.command)
    for each in health["codes"]:
        if (each["code"], each["severity"], each["command"]) == wanted:
            yield each


def _wait(found: Callable[[], T], what: str) -> T:
    return wait_until(found, what, seconds_max=WAIT_SECONDS_MAX)


@contextmanager
def staged(cluster: Cluster, ports: dict[str, int], folder: Path) -> Iterator[Stage]:
    """Start a cluster whose files are ready, and all that watches it; at the end the cluster is stopped."""
    with ExitStack() as stack:
        # Both at the same time.
        for node in cluster:
            node.start()
        (port,) = free_ports(1)
        folder.mkdir()
        server = stack.enter_context(prometheus(folder, port, ports, interval=INTERVAL))
        for node in cluster:
            node.wait_ready()
        viewers = {name: Viewer(each) for name, each in ports.items()}
        try:
            cluster.wait_linked()
            wait_until(
                lambda: (
                    {each["metric"]["instance"] for each in server.query("up == 1")} == ports.keys()
                ),
                "all nodes are scraped",
                seconds_max=WAIT_SECONDS_MAX,
            )
            yield Stage(server, viewers)
        finally:
            cluster.close()
            for viewer in viewers.values():
                viewer.wait_end()
