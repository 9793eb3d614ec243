"""Rules as values, and the file that Prometheus reads.  Pure."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# What the targets are called in `scrape.yml`; rules find them by it where a metric has no name of
# ours.
JOB: Final = "ramster"
# Of an alert: somebody is called at once, or looks at it in working hours.
CRITICAL: Final = "critical"
WARNING: Final = "warning"
# Where the package installs it.
RUNBOOK: Final = "file:///usr/share/doc/ramster/health.md"
MADE_BY: Final = (
    "# Made by `make monitoring` from packages/monitoring: change that, and not this file.\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A series that is computed once for all who ask for it."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule that calls somebody.

    Two may share a name, with different severities.
    """

    name: str
    expr: str
    # How long it must hold, in Prometheus' words.
    holds: str
    severity: str
    # One line, and what gets worse; `{{ $labels.instance }}` is the node.
    summary: str
    worse: str
    # What to type, and where.
    where: str
    command: str
    # The heading of docs/health.md.
    heading: str

    @property
    def description(self) -> str:
        """What gets worse, and at the end the command."""
        return f"{self.worse} {self.where} type: {self.command}"

    @property
    def runbook(self) -> str:
        """The link to the heading, with the anchor that forges make of it."""
        return f"{RUNBOOK}#{re.sub(r'[^a-z0-9_ -]', '', self.heading.lower()).replace(' ', '-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated one after the other."""

    name: str
    rules: Sequence[Recording | Alert]


def rules_file(groups: Iterable[Group]) -> str:
    """Return the file of rules."""
    lines = [line for group in groups for line in _group(group)]
    return MADE_BY + "groups:\n" + "".join(f"{line}\n" for line in lines)


def _group(group: Group) -> Iterator[str]:
    yield f"  - name: {group.name}"
    yield "    rules:"
    for rule in group.rules:
        yield from _recording(rule) if isinstance(rule, Recording) else _alert(rule)


def _recording(rule: Recording) -> Iterator[str]:
    yield f"      - record: {rule.name}"
    yield from _expr(rule.expr)


def _alert(rule: Alert) -> Iterator[str]:
    yield f"      - alert: {rule.name}"
    yield from _expr(rule.expr)
    yield f"        for: {rule.holds}"
    yield "        labels:"
    yield f"          severity: {rule.severity}"
    yield "        annotations:"
    for name, text in (
        ("summary", rule.summary),
        ("description", rule.description),
        ("runbook_url", rule.runbook),
    ):
        # A string of JSON is one of YAML.
        yield f"          {name}: {json.dumps(text, ensure_ascii=False)}"


def _expr(expr: str) -> Iterator[str]:
    yield "        expr: |-"
    for line in expr.splitlines():
        yield f"          {line}"
