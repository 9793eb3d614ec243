"""Nobody outside the store knows how its tables are laid out, or keeps its counts by hand.

mypy and ruff keep a part of this: `Holder.pages` can't be assigned, and what begins with an underscore is its
module's own.  Here is the rest.
"""

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

Nodes: TypeAlias = Iterable[ast.AST]
ROOT = Path(__file__).parents[2]
PACKAGES = ("ramsterd", "benchmarks")
CORE = Path("ramsterd/core")
# These read the tables of a run that is over, column by column, and lay them out for a store to go on with: they know the
# layout, and nothing of a living store.
OF_THE_DEAD = tuple(
    Path("ramsterd/kept") / f"{name}.py"
    for name in ("attach", "judge", "layout", "repair", "suspects", "trees")
)
HOLDERS = Path("ramsterd/remote/holders")

# What lies behind questions: the type that answers them, and the id of no holder, are for anybody.
LAYOUT_MODULES = {f"ramsterd.core.{name}" for name in ("rows", "nodes", "frames", "lru")}
MAY_BE_IMPORTED = {"NO_HOLDER", "Rows"}
# Numbers that are good for nothing but offsets.
LAYOUT_WORDS = ("SHIFT", "MASK", "STRIDE")
# A mask that is part of how packed numbers travel, and how far blocks may reach: no offsets.
NO_LAYOUT = {"ZPAGE_BYTES_MASK", "BLOCK_STRIDE_BYTES"}
TABLES = {"rows", "table", "zbud"}
COLUMNS = {
    "view", "words", "halves", "quarters", "stack",
    "entries", "leaf_used", "nodes",
    "arena", "slot_rows", "chunks_of_block", "family_of_block", "state", "stacks",
}  # fmt: skip
COUNTS = {"zpages", "zpage_bytes"}
# Verbs of a row that leave somebody to be told: `Versions` has those that tell.
HALVES_OF_VERBS = {"remove_holder", "set_holders"}
# What `Copies` knows; it is told by verbs.
KNOWN_OF_COPIES = {"unreachable_holders", "attainable", "wanted_max"}
CHANGING = {"add", "append", "clear", "discard", "extend", "pop", "remove", "update"}


def last_name(node: ast.expr) -> str:
    """Return what an expression is called in the end: `c` for `a.b.c`, for `a.c[0]` and for `c`."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Subscript(value=value) | ast.Call(func=value):
            return last_name(value)
        case _:
            return ""


def assigned(node: ast.AST) -> Iterator[ast.expr]:
    targets: list[ast.expr] = []
    match node:
        case ast.Assign(targets=found) | ast.Delete(targets=found):
            targets = found
        case ast.AugAssign(target=one) | ast.AnnAssign(target=one):
            targets = [one]
        case _:
            pass
    for target in targets:
        yield from target.elts if isinstance(target, ast.Tuple | ast.List) else (target,)


def layout_known(nodes: Nodes) -> Iterator[ast.AST]:
    """Yield what only a module of core may do."""
    for node in nodes:
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith(
                "ramsterd.core"
            ):
                for alias in names:
                    is_layout = module in LAYOUT_MODULES and alias.name not in MAY_BE_IMPORTED
                    is_word = any(word in alias.name for word in LAYOUT_WORDS)
                    if (
                        is_layout
                        or (is_word and alias.name not in NO_LAYOUT)
                        or f"{module}.{alias.name}" in LAYOUT_MODULES
                    ):
                        yield node
            case ast.Import(names=names) if {alias.name for alias in names} & LAYOUT_MODULES:
                yield node
            case ast.Attribute(value=value, attr=attr) if attr in COLUMNS:
                if last_name(value).lstrip("_") in TABLES:
                    yield node
            case _:
                pass


def counts_kept(nodes: Nodes) -> Iterator[ast.AST]:
    """Yield what only the store's `account` may do."""
    for node in nodes:
        for target in assigned(node):
            is_entry = isinstance(target, ast.Subscript) and isinstance(target.value, ast.Attribute)
            if is_entry and last_name(target) in COUNTS:
                yield node


def holder_pages_kept(nodes: Nodes) -> Iterator[ast.AST]:
    """Yield what only a `Holder` may do."""
    for node in nodes:
        for target in assigned(node):
            if isinstance(target, ast.Attribute) and target.attr in {"pages", "_pages"}:
                owner = last_name(target.value)
                if "holder" in owner:
                    yield node


def holders_kept(nodes: Nodes) -> Iterator[ast.AST]:
    """Yield what only core may do with the holders of a row, and with what is known of all of them."""
    for node in nodes:
        match node:
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in HALVES_OF_VERBS:
                yield node
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=attr), attr=verb)) if (
                attr in KNOWN_OF_COPIES and verb in CHANGING
            ):
                yield node
            case ast.Attribute(value=value, attr="thinned" | "_thinned") if "versions" in last_name(
                value
            ):
                yield node
            case _:
                pass
        for target in assigned(node):
            match target:
                case ast.Attribute(value=value, attr=attr) if attr in KNOWN_OF_COPIES:
                    if "copies" in last_name(value):
                        yield node
                case _:
                    pass


# Each with the modules that it does not hold for.
RULES: dict[Callable[[Nodes], Nodes], tuple[Path, ...]] = {
    layout_known: (CORE, *OF_THE_DEAD),
    counts_kept: OF_THE_DEAD,
    holder_pages_kept: (HOLDERS,),
    holders_kept: (CORE,),
}


@functools.cache
def found() -> dict[Callable[[Nodes], Nodes], list[str]]:
    """Return what breaks each rule.  All modules are parsed and walked once: that is nearly all that these tests cost."""
    lines: dict[Callable[[Nodes], Nodes], list[str]] = {rule: [] for rule in RULES}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT)
            nodes = list(ast.walk(ast.parse(path.read_text())))
            for rule, besides in RULES.items():
                if not any(name.is_relative_to(room) for room in besides):
                    lines[rule] += [
                        f"{name}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)}"
                        for node in rule(nodes)
                    ]
    return lines


def test_no_module_outside_core_computes_an_offset_into_a_table() -> None:
    assert found()[layout_known] == []


def test_one_function_counts_zpages() -> None:
    lines = found()[counts_kept]
    assert [line.partition(":")[0] for line in lines] == ["ramsterd/core/versions.py"] * 2, lines


def test_only_holders_count_their_pages() -> None:
    assert found()[holder_pages_kept] == []


def test_nobody_outside_core_gives_up_a_copy_by_hand_or_changes_what_is_known_of_holders() -> None:
    assert found()[holders_kept] == []


@pytest.mark.parametrize(
    "sample",
    [
        "from ramsterd.core.rows import HOLDERS, QUARTERS_PER_ROW",
        "from ramsterd.core.rows import NO_HOLDER, ROW",
        "from ramsterd.core import rows",
        "import ramsterd.core.rows as table",
        "from ramsterd.core.table import LEAF_SHIFT",
        "from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES, SLOT_SHIFT",
        "holder = self._store.rows.quarters[row * 16 + 13]",
        "rows.words[row * 4] = serial",
        "entry = store.table.entries[leaf * 64 + place]",
        "start = store.zbud.arena[offset]",
    ],
)
def test_an_offset_is_found(sample: str) -> None:
    assert list(layout_known(ast.walk(ast.parse(sample))))


@pytest.mark.parametrize(
    "sample",
    [
        "from ramsterd.core.rows import NO_HOLDER",
        "from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES",
        "holder = self._store.rows.first_holder(row)",
        "view = received.view[start:end]",
        "state = self.nodes.state(node)",
    ],
)
def test_a_question_is_no_offset(sample: str) -> None:
    assert not list(layout_known(ast.walk(ast.parse(sample))))


@pytest.mark.parametrize(
    "sample",
    [
        "self.zpages[family] += 1",
        "store.versions.zpage_bytes[0] = 7",
        "a, store.versions.zpages[1] = 1, 2",
    ],
)
def test_a_count_by_hand_is_found(sample: str) -> None:
    assert list(counts_kept(ast.walk(ast.parse(sample))))


@pytest.mark.parametrize(
    "sample", ["holder.pages += 1", "put.holder._pages = 3", "self._holders[each].pages -= 2"]
)
def test_a_holder_counted_by_hand_is_found(sample: str) -> None:
    assert list(holder_pages_kept(ast.walk(ast.parse(sample))))


@pytest.mark.parametrize(
    "sample",
    [
        "self._store.rows.remove_holder(row, holder)",
        "rows.set_holders(row, [1])",
        "self._store.versions.thinned += leaving.rows",
        "thinned, versions.thinned = versions.thinned, []",
        "store.copies.unreachable_holders.add(holder.id)",
        "self._copies.unreachable_holders -= {holder.id}",
        "self._store.copies.attainable = 2",
    ],
)
def test_a_copy_given_up_by_hand_is_found(sample: str) -> None:
    assert list(holders_kept(ast.walk(ast.parse(sample))))


@pytest.mark.parametrize(
    "sample",
    [
        "store.versions.give_up_copy(row, holder)",
        "is_there = holder in store.copies.unreachable_holders",
        "wanted = min(copies.attainable, 2)",
        "for row in swept.thinned: on_thinned(row)",
    ],
)
def test_a_verb_or_a_question_is_no_copy_by_hand(sample: str) -> None:
    assert not list(holders_kept(ast.walk(ast.parse(sample))))
