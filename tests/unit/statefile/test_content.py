"""The state file's text: what was noted comes back, and anything else is called damaged."""

import json

import pytest
from hypothesis import given, strategies as st

from ramsterd.statefile.content import (
    FOLDER_BYTES_MAX,
    INCARNATION_MAX,
    RECORDS_MAX,
    STATE_BYTES_MAX,
    Content,
    DamagedState,
    Key,
    PoolKey,
    Record,
    _digest,
    describe,
    encode,
    parse,
)

GENERATION = "0123456789abcdef" * 2
names = st.text(
    st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=63
).filter(lambda name: name.isprintable() and len(name.encode()) <= 63)  # fmt: skip
records = st.builds(
    Record,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.integers(0, 1 << 34),
)
keys = names | st.builds(PoolKey, st.integers(0, (1 << 32) - 2), names)
contents = st.builds(
    Content,
    st.integers(0, INCARNATION_MAX),
    st.dictionaries(keys, records, max_size=8),
    st.just("") | st.just(GENERATION),
    st.just("") | names.map("/mnt/{}".format),
)


@pytest.mark.slow
@given(contents)
def test_what_was_noted_comes_back(content: Content) -> None:
    assert parse(encode(content)) == content


@pytest.mark.slow
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_bytes_of_any_kind_are_damaged_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(DamagedState):
        parse(data)


@pytest.mark.slow
@given(contents, st.data())
def test_no_flipped_bit_makes_another_content(content: Content, data: st.DataObject) -> None:
    text = bytearray(encode(content))
    position = data.draw(st.integers(0, len(text) - 1))
    text[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = parse(bytes(text))
    except DamagedState:
        return
    assert found == content  # a blank in the layout became another blank


@pytest.mark.slow
@given(contents, st.data())
def test_a_file_that_is_cut_off_is_damaged(content: Content, data: st.DataObject) -> None:
    text = encode(content)
    length = data.draw(st.integers(0, len(text) - 2))  # the last byte ends the line
    with pytest.raises(DamagedState):
        parse(text[:length])


def damaged(**changes: object) -> bytes:
    """Return a file whose checksum is right, and whose content is not."""
    row = {"name": "swap0", "generation": GENERATION, "lost_at": 0}
    body: dict[str, object] = {"last_incarnation": 7, "exports": [row], "pools": []}
    body.update(changes)
    return json.dumps({"format": 1, "sha256": _digest(body), "content": body}).encode()


ROW = {"name": "swap0", "generation": GENERATION, "lost_at": 0}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"more": 1}, "other keys"),
        ({"last_incarnation": -1}, "-1, not 0 to"),
        ({"last_incarnation": True}, "True, not 0 to"),
        ({"exports": {}}, "exports: no list"),
        ({"exports": [ROW] * (RECORDS_MAX + 1)}, "exports: no list"),
        ({"exports": [ROW, ROW]}, "two records of export swap0"),
        ({"exports": [7]}, "other keys"),
        ({"exports": [{**ROW, "user": 0}]}, "other keys"),
        ({"exports": [{**ROW, "name": ""}]}, "without a name"),
        ({"exports": [{**ROW, "name": "\ud800"}]}, "without a name"),
        ({"exports": [{**ROW, "name": "x" * 64}]}, "without a name"),
        ({"exports": [{**ROW, "generation": "ABC"}]}, "a generation that is none"),
        ({"exports": [{**ROW, "lost_at": 1.5}]}, "1.5, not 0 to"),
        ({"pools": [ROW]}, "other keys"),
        ({"pools": [{**ROW, "user": 1 << 32}]}, "not 0 to"),
    ],
)
def test_a_content_with_a_mistake_is_damaged(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(DamagedState, match=reason):
        parse(damaged(**changes))


def test_a_file_of_another_release_is_not_guessed_at() -> None:
    whole = json.loads(encode(Content()))
    with pytest.raises(DamagedState, match="format 4 of another release, not 3"):
        parse(json.dumps({**whole, "format": 4}).encode())
    with pytest.raises(DamagedState, match="other keys"):
        parse(json.dumps({**whole, "more": 1}).encode())


def test_a_file_of_the_first_format_is_read() -> None:
    found = parse(damaged())
    assert found.records == {"swap0": Record(GENERATION)}
    assert (found.memory_id, found.memory_folder) == ("", "")
    with pytest.raises(DamagedState, match="other keys"):
        parse(damaged(memory_id=GENERATION))


def text_of(format_number: int, **body: object) -> bytes:
    body = {"last_incarnation": 7, "exports": [], "pools": [], **body}
    whole = {"format": format_number, "sha256": _digest(body), "content": body}
    return json.dumps(whole).encode()


def test_a_file_of_the_second_format_is_read() -> None:
    found = parse(text_of(2, memory_id=GENERATION))
    assert (found.memory_id, found.memory_folder) == (GENERATION, "")
    with pytest.raises(DamagedState, match="other keys"):
        parse(text_of(2, memory_id=GENERATION, memory_folder="/mnt"))
    with pytest.raises(DamagedState, match="other keys"):
        parse(text_of(3, memory_id=GENERATION))


@pytest.mark.parametrize(
    "folder", [None, 7, "mnt", "/m\0nt", "/\ud800", "/" + "x" * FOLDER_BYTES_MAX]
)
def test_a_folder_that_is_none_is_damaged(folder: object) -> None:
    with pytest.raises(DamagedState, match="a folder of the memory that is none"):
        parse(text_of(3, memory_id=GENERATION, memory_folder=folder))


@pytest.mark.parametrize("memory_id", [None, 7, "ABC", "0" * 31])
def test_a_memory_id_that_is_none_is_damaged(memory_id: object) -> None:
    with pytest.raises(DamagedState, match="memory id"):
        parse(text_of(3, memory_id=memory_id, memory_folder=""))


def test_a_deep_nest_is_damaged() -> None:
    with pytest.raises(DamagedState):
        parse(b'{"content":' + b"[" * 100_000)


def test_the_largest_content_fits_the_file() -> None:
    full: dict[Key, Record] = {PoolKey(1 << 31, f"{n:05}" + "\N{SNOWMAN}" * 19): Record(GENERATION, 1 << 34)
               for n in range(RECORDS_MAX)}  # fmt: skip
    folder = "/" + "\N{SNOWMAN}" * (FOLDER_BYTES_MAX // 3)
    assert len(encode(Content(INCARNATION_MAX, full, GENERATION, folder))) <= STATE_BYTES_MAX


def test_an_export_and_a_pool_are_described_as_operators_call_them() -> None:
    assert describe("swap0") == "export swap0"
    assert describe(PoolKey(1000, "spill")) == "pool 'spill' of user 1000"
