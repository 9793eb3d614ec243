"""How findings are shown: a line for each check, worst first, what to type under it, a summary; or JSON.  Pure."""

from collections.abc import Sequence

from config.units import human_count
from ramsterd.doctor.findings import Finding, State, worst, worst_first

_INDENT = " " * 9


def format_findings(findings: Sequence[Finding]) -> str:
    """Return the text of `ramsterctl doctor`."""
    width = max((len(finding.check) for finding in findings), default=0)
    lines: list[str] = []
    for finding in worst_first(findings):
        if finding.state is State.OK:
            lines.append(f"{finding.state:<8} {finding.check:<{width}}  {finding.found}")
            continue
        lines += [
            f"{finding.state.upper():<8} {finding.check:<{width}}  {finding.risk}",
            f"{_INDENT}found {finding.found}, expected {finding.expected}",
            f"{_INDENT}type: {finding.fix}",
        ]
    return "\n".join([*lines, summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line: how many checks ended how."""
    counts = {state: sum(each.state is state for each in findings) for state in State}
    parts = [
        human_count(counts[State.ERROR], "error"),
        human_count(counts[State.WARNING], "warning"),
        f"{counts[State.OK]} ok",
    ]
    return f"{human_count(len(findings), 'check')}: {', '.join(parts)}"


def to_json(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the same for programs.  Keys and names of checks only grow."""
    return {
        "state": worst(findings).value,
        "checks": [
            {
                "check": finding.check,
                "state": finding.state.value,
                "risk": finding.risk,
                "found": finding.found,
                "expected": finding.expected,
                "fix": finding.fix,
            }
            for finding in worst_first(findings)
        ],
    }
