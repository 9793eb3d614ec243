"""What a change of members came to, and whether cluster.toml of this node has it."""

import time
from typing import Any, Final

from config.endpoint import join_endpoint
from ramsterd.cli.ask import Ask
from ramsterd.cli.output import Output, fail, show
from ramsterd.cli.target import Target

POLL_SECONDS: Final = 0.1
# A disk that takes longer is told of.
WRITE_SECONDS_MAX: Final = 10.0


def finish(ask: Ask, target: Target, result: dict[str, Any], output: Output) -> None:
    """Print what was done; end with status 1 if this node could not write it into its file."""
    unwritten = why_unwritten(ask, target)
    show({**result, "unwritten": unwritten}, output, describe)
    fail_if_unwritten(unwritten)


def why_unwritten(ask: Ask, target: Target) -> str:
    """Wait until the disk has the members; return why it has not, or an empty text."""
    deadline = time.perf_counter() + WRITE_SECONDS_MAX
    while (now := ask(target, "membership"))["is_writing"]:
        if time.perf_counter() >= deadline:
            return f"the disk has not answered for {WRITE_SECONDS_MAX:g} s"
        time.sleep(POLL_SECONDS)
    return str(now["unwritten"])


def fail_if_unwritten(unwritten: str) -> None:
    """End with status 1 and one line, if there is something to say."""
    if unwritten:
        fail(
            f"the change is in force, but cluster.toml of this node does not have it: {unwritten};"
            " remove the cause, then run `ramsterctl config reload` or repeat the command"
        )


def describe(result: dict[str, Any]) -> str:
    """Return what was done."""
    node = result["node"]
    where = join_endpoint(node["address"], node["port"])
    already = "" if result["is_changed"] else " already"
    origin = result["membership_origin"]
    changed_at = f", changed at node {origin}" if origin else ""
    return (
        f"node {node['name']} ({node['number']}) at {where} is {result['state']}{already}\n"
        f"membership version {result['membership_version']}{changed_at}"
    )
