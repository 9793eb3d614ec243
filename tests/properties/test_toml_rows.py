"""Whatever a TOML text looks like: a change of its rows means what was asked, and leaves all other lines alone."""

import tomllib
from typing import Any, Final

from hypothesis import assume, given, strategies as st

from config.toml_rows import CannotEdit, Value, append_row, remove_row, set_value

TABLE: Final = "disk"
# Values that look like something else, on one line and on several.
RAW_VALUES: Final = (
    "1",
    "-0.5",
    "nan",
    "true",
    '""',
    "''",
    '"[[disk]]"',
    r'"a \" # \\"',
    "'it has \" and # and ]'",
    '"""\n[[disk]]\nn = 1\n"""',
    '"""a""""',
    r'"""\""" # """',
    "'''\n[disk]\n# no comment'''''",
    "[1, 2] # more",
    '[ # [[disk]]\n  "]", # one\n\n  [{a = "}"}],\n]',
    '{a = "#", "b.c" = [1]}',
    "1979-05-27 07:32:00Z",
    "07:32:00",
)
KEYS: Final = ("n", "size", '"q u"', "'l#'", "a.b", '"x" . y', "-")
COMMENTS: Final = ("# [[disk]]", "#n = 1", "  # é \u2028", "#")
values: Final[st.SearchStrategy[Value]] = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8"))
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A text of tables and rows, with comments anywhere, that is TOML as a rule."""
    lines: list[str] = []

    def scribble() -> None:
        lines.extend(draw(st.lists(st.sampled_from([*COMMENTS, "", " \t"]), max_size=2)))

    def assign() -> None:
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=3)):
            scribble()
            lines.append(f"{key} = {draw(st.sampled_from(RAW_VALUES))}")

    scribble()
    for number in range(draw(st.integers(0, 4))):
        kinds = (
            "[[disk]]",
            "[[ disk ]] # x",
            '[["disk"]]',
            "[disk.sub]",
            f"[t{number}]",
            f"[[r{number}]]",
        )
        lines.append(draw(st.sampled_from(kinds)))
        assign()
        scribble()
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    text = newline.join(lines).replace("\r\n", "\n").replace("\n", newline)
    return text + draw(st.sampled_from(["", newline])) if text else text


def said(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
        raise


def difference(old: str, new: str) -> tuple[list[str], list[str]]:
    """Return which lines went and which came, in one place; an end of the last line is no change."""
    before, after = old.split("\n"), new.split("\n")
    while before and after and before[0].rstrip("\r") == after[0].rstrip("\r"):
        del before[0], after[0]
    while before and after and before[-1].rstrip("\r") == after[-1].rstrip("\r"):
        del before[-1], after[-1]
    return before, after


def rows_of(says: dict[str, Any]) -> list[dict[str, Any]]:
    rows = says.get(TABLE, [])
    return rows if isinstance(rows, list) else []


def plain(says: object) -> str:
    """As a text: there a nan is like another one.  The order of keys is no matter."""
    if isinstance(says, dict):
        return "{" + ",".join(f"{key!r}:{plain(says[key])}" for key in sorted(says)) + "}"
    if isinstance(says, list):
        return "[" + ",".join(map(plain, says)) + "]"
    return repr(says)


@given(texts(), st.dictionaries(st.sampled_from(["name", "size", "x-1"]), values, min_size=1))
def test_a_row_that_is_added_is_all_that_is_new(text: str, row: dict[str, Value]) -> None:
    wanted = said(text)
    try:
        new = append_row(text, TABLE, row)
    except CannotEdit:
        return
    wanted.setdefault(TABLE, []).append(row)
    assert plain(tomllib.loads(new)) == plain(wanted)
    gone, came = difference(text, new)
    assert [line for line in gone if line.strip()] == []
    written = [line for line in came if line.strip()]
    assert len(written) == 1 + len(row)
    again = remove_row(new, TABLE, len(wanted[TABLE]) - 1)
    assert plain(tomllib.loads(again)) == plain(said(text))


@given(texts(), st.integers(0, 3))
def test_a_row_that_goes_takes_only_its_own_lines(text: str, index: int) -> None:
    wanted = said(text)
    rows = rows_of(wanted)
    assume(rows)
    index %= len(rows)
    try:
        new = remove_row(text, TABLE, index)
    except CannotEdit:
        return
    del rows[index]
    if not rows:
        del wanted[TABLE]
    assert plain(tomllib.loads(new)) == plain(wanted)
    _, came = difference(text, new)
    assert [line for line in came if line.strip()] == []


@given(texts(), st.integers(0, 3), st.sampled_from(["n", "size", "-", "new"]), values)
def test_a_value_that_changes_is_one_line(text: str, index: int, key: str, value: Value) -> None:
    wanted = said(text)
    rows = rows_of(wanted)
    assume(rows)
    index %= len(rows)
    try:
        new = set_value(text, TABLE, index, key, value)
    except CannotEdit:
        return
    rows[index][key] = value
    assert plain(tomllib.loads(new)) == plain(wanted)
    _, came = difference(text, new)
    assert len([line for line in came if line.strip()]) <= 1
