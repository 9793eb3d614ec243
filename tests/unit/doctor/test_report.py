"""What an operator reads, and what a program reads."""

from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.doctor.report import format_findings, to_json

FINDINGS = [
    ok("config", "all is well"),
    Finding(
        check="min-free",
        state=State.ERROR,
        risk="the machine can hang",
        found="1",
        expected="2",
        fix="sysctl 2",
    ),
]


def test_each_check_is_a_line_the_worst_first_with_what_to_type_under_it() -> None:
    assert format_findings(FINDINGS) == (
        "ERROR    min-free  the machine can hang\n"
        "         found 1, expected 2\n"
        "         type: sysctl 2\n"
        "ok       config    all is well\n"
        "2 checks: 1 error, 0 warnings, 1 ok"
    )


def test_the_shape_of_the_json_stays() -> None:
    assert to_json(FINDINGS) == {
        "state": "error",
        "checks": [
            {
                "check": "min-free",
                "state": "error",
                "risk": "the machine can hang",
                "found": "1",
                "expected": "2",
                "fix": "sysctl 2",
            },
            {
                "check": "config",
                "state": "ok",
                "risk": "",
                "found": "all is well",
                "expected": "",
                "fix": "",
            },
        ],
    }
