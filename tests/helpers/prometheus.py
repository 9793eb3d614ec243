"""A real Prometheus that scrapes real daemons by the example and the rules of config/prometheus."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from packages.monitoring.files import RULES_NAME
from packages.release import ROOT

RULES: Final = ROOT / "config/prometheus" / RULES_NAME
START_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 15.0
# All nodes, as the variables of the dashboard have them.
EVERYTHING: Final = {"$cluster": ".*", "$instance": ".*"}


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, **arguments: str | float) -> Any:
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}{path}?{query}", timeout=20
        ) as answer:
            return json.load(answer)["data"]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def query(self, expr: str) -> list[Any]:
        """Return what an expression gives now."""
        found: list[Any] = self.ask("/api/v1/query", query=with_variables(expr))["result"]
        return found

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Any]:
        """Return the curves of an expression."""
        found: list[Any] = self.ask(
            "/api/v1/query_range", query=with_variables(expr), start=start, end=end, step=step
        )["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules, with how their last evaluation went."""
        groups = self.ask("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self) -> dict[str, str]:
        """Return the alerts that are pending or firing, by their names."""
        return {
            each["labels"]["alertname"]: each["state"]
            for each in self.ask("/api/v1/alerts")["alerts"]
        }


def with_variables(expr: str) -> str:
    """Return an expression of the dashboard for all nodes."""
    for name, value in EVERYTHING.items():
        expr = expr.replace(name, value)
    return expr


@contextmanager
def prometheus(
    folder: Path, port: int, targets: Mapping[str, int], *, interval: str, window: str = ""
) -> Iterator[Prometheus]:
    """Run it; `targets` are ports by the names of nodes.

    With `window` the rates of five minutes are of that time: for who can't wait.
    """
    rules = RULES.read_text()
    if window:
        rules = re.sub(r"(rate\(\w+(?:{[^}]*})?)\[5m\]", rf"\1[{window}]", rules)
    (folder / RULES_NAME).write_text(rules)
    config = (ROOT / "config/prometheus/prometheus.yml").read_text()
    head, _, _ = config.partition("    static_configs:\n")
    lines = [
        f"      - targets: ['127.0.0.1:{target}']\n        labels: {{ cluster: test, instance: {name} }}\n"
        for name, target in targets.items()
    ]
    head = re.sub(r"(_interval): 5s", rf"\1: {interval}", head)
    file = folder / "prometheus.yml"
    file.write_text(head + "    static_configs:\n" + "".join(lines))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        server = Prometheus(port)
        end = time.perf_counter() + START_SECONDS_MAX
        while not server.is_ready():
            said = (folder / "prometheus.log").read_text()
            assert process.poll() is None, said
            assert time.perf_counter() < end, said
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
