"""What `status` says of kept memory."""

from typing import Any

from ramsterd.cli.format_kept import format_kept

MEMORY: dict[str, Any] = {
    "keeper": "systemd",
    "made_timestamp_seconds": 1_790_000_000,
    "attaches": 0,
    "given_up": "",
    "adopted_pages": 0,
    "broken_pages": 0,
    "lost_pages": 0,
    "lost_pools": 0,
    "attach_seconds": 0.0,
}
SCRUB = {
    "is_running": False, "blocks": 40, "blocks_seen": 40, "zpages_checked": 120_000, "corrupt": 0,
}  # fmt: skip


def test_who_keeps_the_pages_and_since_when() -> None:
    assert format_kept(MEMORY, SCRUB) == [
        "kept           by systemd since 2026-09-21 14:13 UTC; these pages have outlived 0 restarts"
    ]


def test_what_a_start_found_is_told_with_how_far_its_check_is() -> None:
    found = {
        "attaches": 1, "adopted_pages": 123_456, "broken_pages": 3, "lost_pages": 2,
        "attach_seconds": 0.85,
    }  # fmt: skip
    running = {"is_running": True, "blocks_seen": 12, "zpages_checked": 7_000, "corrupt": 1}
    kept, attach = format_kept({**MEMORY, **found}, {**SCRUB, **running})
    assert kept.endswith("outlived 1 restart")
    assert attach == (
        "               this start took over 123,456 pages in 0.85 s: 3 are damaged, 2 of them lost;"
        " 7,000 compressed pages are checked, 1 damaged, so far in 12 of 40 blocks"
    )
    [_, attach] = format_kept({**MEMORY, **found, "lost_pools": 1}, SCRUB)
    assert "all pages of 1 export or pool are lost" in attach
    assert attach.endswith("120,000 compressed pages are checked, 0 damaged")


def test_pages_that_nobody_keeps_are_a_line_that_says_what_to_type() -> None:
    [line] = format_kept({**MEMORY, "keeper": ""}, SCRUB)
    assert line.startswith("NOT KEPT       pages end when ramsterd ends; only `ramsterctl restart`")
    assert "set keep in [memory]" in line


def test_memory_that_was_given_up_is_named_with_the_reason() -> None:
    reason = "the kept memory is from before a reboot: boot 1, expected 2"
    assert format_kept({**MEMORY, "given_up": reason}, SCRUB)[1:] == [
        f"               this start gave up the pages of the last run: {reason}"
    ]
