"""What an operator wanted so, and may have forgotten: members that get no new pages.  Pure.

It is no trouble, so it has no code and changes no severity.
"""

from ramsterd.health.facts import Facts, KeptOut


def notes(facts: Facts) -> tuple[str, ...]:
    """Return a line for each member that gets no new pages, with the command that ends that."""
    return tuple(
        f"{_state(each)}; to end this: ramsterctl node uncordon {each.name}"
        for each in facts.kept_out
    )


def _state(each: KeptOut) -> str:
    if not each.is_draining:
        return f"{each.name} is cordoned and gets no new pages"
    reason = f" ({each.reason})" if each.reason else ""
    if each.is_drained:
        return f"{each.name} is drained{reason}"
    since = f" since {each.began}" if each.began else ""
    state = "draining" if each.is_drained is False else "draining or drained"
    return f"{each.name} is {state}{since}{reason}"
