"""docs/swap.md names every check of the doctor, where it is made, and every fault that guests are tested with."""

import re
from dataclasses import replace
from typing import Final

from ramsterd.doctor.findings import Finding
from ramsterd.doctor.judge import conditions_of_own_swap, judge
from ramsterd.doctor.judge_around import judge_around
from ramsterd.doctor.report import format_findings
from tests.docs.pages import DOCS, blocks, quoted, rows, section
from tests.guest.cases import CASES
from tests.helpers.doctor_facts import FACTS, HOST_OF_GUESTS, KERNEL, MIB
from tests.helpers.doctor_surroundings import AROUND

TEXT: Final = (DOCS / "swap.md").read_text()
PLACES: Final = ("every node", "swap", "own machine")


def checks_of(findings: list[Finding]) -> set[str]:
    return {finding.check for finding in findings}


def test_every_check_is_in_the_table_with_where_it_is_made() -> None:
    table = rows(section(TEXT, "Check a node"))
    named = {place: {quoted(row[0])[0] for row in table if row[1] == place} for place in PLACES}
    every = checks_of([*judge(FACTS, for_swap=False), *judge_around(FACTS, AROUND)])
    swap = checks_of(judge(HOST_OF_GUESTS, for_swap=True)) - every
    own = checks_of(judge(FACTS, for_swap=True)) - every - swap
    assert named == dict(zip(PLACES, (every, swap, own), strict=True))


def test_every_fault_that_guests_swap_through_is_in_a_table() -> None:
    table = rows(section(TEXT, "What guests survive"))
    assert [(row[0], int(row[1])) for row in table] == [(case.name, case.copies) for case in CASES]


def test_what_is_refused_is_listed() -> None:
    (listed,) = re.findall(r"is an error: (.*?), or the protection", " ".join(TEXT.split()))
    judged = checks_of(conditions_of_own_swap(FACTS))
    # It is a warning at most.
    assert set(quoted(listed)) == judged - {"swap-max"}


def test_the_output_that_is_shown_is_what_is_printed() -> None:
    facts = replace(FACTS, kernel=replace(KERNEL, min_free_bytes=16 * MIB))
    printed = format_findings(judge(facts, for_swap=True)).splitlines()
    assert set(blocks(TEXT, "doctor")[0].splitlines()) <= set(printed)
