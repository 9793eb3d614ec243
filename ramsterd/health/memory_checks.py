"""What is wrong with the memory of this node, and with what keeps it.  Pure."""

from typing import Final

from config.units import format_bytes, human_bytes, human_count
from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES
from ramsterd.health.codes import Code, Finding, err, warn
from ramsterd.health.facts import Facts, MemoryFacts, Past
from ramsterd.health.wording import ask_doctor, larger_budget, named

# Parts of all memory that new pages may have; a code that holds ends at the higher one.
NEARFULL_BELOW: Final = 0.10
NEARFULL_UNTIL: Final = 0.15
FULL_BELOW: Final = 0.01
FULL_UNTIL: Final = 0.03
# Parts of `tables_max`.
TABLES_NEARFULL_FROM: Final = 0.90
TABLES_NEARFULL_UNTIL: Final = 0.85
TABLES_FULL_FROM: Final = 0.99
TABLES_FULL_UNTIL: Final = 0.97
assert FULL_BELOW < FULL_UNTIL < NEARFULL_BELOW < NEARFULL_UNTIL
assert TABLES_NEARFULL_UNTIL < TABLES_NEARFULL_FROM < TABLES_FULL_UNTIL < TABLES_FULL_FROM
_RELOAD: Final = "raise tables_max in [memory], then: ramsterctl config reload"


def room_bytes(facts: Facts) -> int:
    """Return how many bytes of zpages would find room: here, and at peers with all their copies."""
    taking = [peer.free_bytes for peer in facts.peers if peer.has_room]
    return _room_bytes_here(facts.memory) + sum(taking) // _copies(facts, len(taking))


def _room_bytes_here(memory: MemoryFacts) -> int:
    free = memory.budget_bytes - memory.used_bytes
    return (free if free >= BLOCK_STRIDE_BYTES else 0) + memory.droppable_bytes


def _room_bytes_max(facts: Facts) -> int:
    """Return what the same would be if nothing was stored."""
    budgets = [peer.budget_bytes for peer in facts.peers if peer.may_place]
    return facts.memory.budget_bytes + sum(budgets) // _copies(facts, len(budgets))


def _copies(facts: Facts, peers: int) -> int:
    """Return how often a page is stored: with fewer peers than copies, once at each."""
    return max(1, min(facts.pages.copies, peers))


def memory_full(facts: Facts, past: Past) -> Finding | None:
    """Return whether writes find no room."""
    is_active = Code.MEMORY_FULL in past.active
    details = []
    if past.refused_puts:
        details.append(
            f"{human_count(past.refused_puts, 'write')} found no room in the last minute"
        )
    is_tables = _tables_part(facts) >= (TABLES_FULL_UNTIL if is_active else TABLES_FULL_FROM)
    if is_tables:
        details.append(_tables(facts))
    part = _room_part(facts)
    if part < (FULL_UNTIL if is_active and not past.refused_puts else FULL_BELOW):
        details.append(_room(facts))
    elif not is_tables:
        return _was_full(facts, past.refused_puts) if past.refused_puts else None
    free = f"{human_bytes(room_bytes(facts))} are free for new pages, here and at other nodes"
    return err(
        Code.MEMORY_FULL,
        "writes find no room: the tables of pages are full"
        if is_tables
        else f"writes find {'no' if part < FULL_BELOW else 'little'} room: {free}",
        details=tuple(details),
        command=_RELOAD if is_tables else _more_memory(facts.memory),
    )


def _was_full(facts: Facts, refused_puts: int) -> Finding:
    """Return that writes were refused within the last minute, though little is in use now."""
    taking = [peer for peer in facts.peers if peer.has_room]
    is_over = _room_bytes_here(facts.memory) > 0 or len(taking) >= facts.pages.copies
    free = f"{human_bytes(room_bytes(facts))} are free for new pages, here and at other nodes"
    return err(
        Code.MEMORY_FULL,
        f"{human_count(refused_puts, 'write')} found no room in the last minute;"
        f" {'there is room again' if is_over else free}",
        details=(_room(facts),),
        command="in a minute: ramsterctl health"
        if is_over
        else "ramsterctl events --kind writes_refused",
    )


def memory_nearfull(facts: Facts, past: Past) -> Finding | None:
    """Return whether writes will find no room soon; not if they find none already."""
    is_active = Code.MEMORY_NEARFULL in past.active
    details = []
    is_tables = _tables_part(facts) >= (
        TABLES_NEARFULL_UNTIL if is_active else TABLES_NEARFULL_FROM
    )
    if is_tables:
        details.append(_tables(facts))
    if _room_part(facts) < (NEARFULL_UNTIL if is_active else NEARFULL_BELOW):
        details.append(_room(facts))
    if not details or memory_full(facts, past) is not None:
        return None
    return warn(
        Code.MEMORY_NEARFULL,
        f"{human_bytes(room_bytes(facts))} are free for new pages, here and at other nodes",
        details=tuple(details),
        command=_RELOAD if is_tables else _more_memory(facts.memory),
    )


def _more_memory(memory: MemoryFacts) -> str:
    """Return what makes room: the same as MEMORY_STUCK says, if that holds too."""
    if memory.is_shrink_stopped:
        return _go_on_shrinking(memory)
    return larger_budget(memory.budget_bytes)


def _go_on_shrinking(memory: MemoryFacts) -> str:
    target = format_bytes(memory.target_bytes)
    return f"give other nodes memory, then: ramsterctl memory set --budget {target}"


def _room_part(facts: Facts) -> float:
    return room_bytes(facts) / max(1, _room_bytes_max(facts))


def _tables_part(facts: Facts) -> float:
    return facts.memory.tables_bytes / max(1, facts.memory.tables_bytes_max)


def _room(facts: Facts) -> str:
    memory = facts.memory
    taking = [peer.name for peer in facts.peers if peer.has_room]
    peers = f"room at {named(taking)}" if taking else "no room at other nodes"
    return (
        f"pages: {human_bytes(memory.used_bytes)} of {human_bytes(memory.budget_bytes)} in use here,"
        f" {peers}"
    )


def _tables(facts: Facts) -> str:
    memory = facts.memory
    return f"tables: {human_bytes(memory.tables_bytes)} of {human_bytes(memory.tables_bytes_max)} in use"


def memory_stuck(facts: Facts, past: Past) -> Finding | None:
    """Return whether a smaller budget could not be reached."""
    del past
    memory = facts.memory
    if not memory.is_shrink_stopped:
        return None
    return warn(
        Code.MEMORY_STUCK,
        f"shrinking to {human_bytes(memory.target_bytes)} stopped: no peer has room for the rest",
        details=(
            f"{human_bytes(memory.used_bytes)} of {human_bytes(memory.budget_bytes)} are in use",
        ),
        command=_go_on_shrinking(memory),
    )


def swap_unsafe(facts: Facts, past: Past) -> Finding | None:
    """Return whether a kernel swaps to this node, and memory that is short could stop ramsterd."""
    del past
    process = facts.process
    lacks = [
        text
        for is_so, text in (
            (not process.is_locked, "its memory is not locked: it may be swapped out itself"),
            (not process.is_io_flusher, "its allocations may wait for swap that it serves itself"),
            (not process.is_oom_exempt, "the OOM killer may end it"),
            (process.is_reserve_short, "the kernel has no memory for its reserve"),
        )
        if is_so
    ]
    if not process.swap_exports or not lacks:
        return None
    return warn(
        Code.SWAP_UNSAFE,
        f"ramsterd may stop while memory is short, and it serves swap: export {named(list(process.swap_exports))}",
        details=tuple(lacks),
        command=ask_doctor(facts.files.own_file, "--swap"),
    )


def not_kept(facts: Facts, past: Past) -> Finding | None:
    """Return whether pages end with ramsterd though the file does not say that they should."""
    del past
    if facts.process.keeper or facts.process.is_keeper_unwanted:
        return None
    return warn(
        Code.NOT_KEPT,
        "pages of this node end when ramsterd ends: nobody keeps its memory",
        command=ask_doctor(facts.files.own_file),
    )
