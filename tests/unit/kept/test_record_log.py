"""Records are read as they were written, up to the first that is not whole."""

import pytest
from hypothesis import given, strategies as st

from ramsterd.kept.record_log import RECORD_BYTES_MAX, RecordLog, is_damaged, read_records

RECORDS = st.lists(st.binary(min_size=1, max_size=40), max_size=20)
LOG_BYTES = 2048


def write(records: list[bytes], *, epoch: int = 1) -> tuple[memoryview, RecordLog]:
    memory = memoryview(bytearray(LOG_BYTES))
    log = RecordLog(memory, epoch)
    assert all(map(log.append, records))
    return memory, log


@given(records=RECORDS)
def test_what_was_written_is_read(records: list[bytes]) -> None:
    memory, log = write(records)
    assert read_records(memory, 1) == (records, log.end)


@given(records=RECORDS, cut=st.integers(0, LOG_BYTES))
def test_what_is_cut_off_is_a_prefix(records: list[bytes], cut: int) -> None:
    """Zeros stand behind, as in memory that was not written yet."""
    memory, _ = write(records)
    memory[cut:] = bytes(LOG_BYTES - cut)
    found, _ = read_records(memory, 1)
    assert found == records[: len(found)]


@given(records=RECORDS, record=st.binary(min_size=1, max_size=40), stores=st.integers(0, 80))
def test_a_torn_record_does_not_count_and_is_written_over(
    records: list[bytes], record: bytes, stores: int
) -> None:
    memory, log = write(records)
    before, end = bytes(memory), log.end
    log.append(record)
    changed = [at for at in range(LOG_BYTES) if before[at] != memory[at]]
    torn = memoryview(bytearray(before))
    # Stores of the record come before those of its frame.
    for at in sorted(changed, key=lambda at: at < end + 12)[:stores]:
        torn[at] = memory[at]
    found, at = read_records(torn, 1)
    assert found in (records, [*records, record])
    assert not is_damaged(torn, 1, at)
    again = RecordLog(torn, 1, end=at)
    assert again.append(b"next")
    assert read_records(torn, 1)[0] == [*found, b"next"]


@given(records=RECORDS, bit=st.integers(0, LOG_BYTES * 8 - 1))
def test_a_flipped_bit_cuts_the_log_and_changes_no_record(records: list[bytes], bit: int) -> None:
    memory, _ = write(records)
    memory[bit // 8] ^= 1 << bit % 8
    found, end = read_records(memory, 1)
    assert found == records[: len(found)]
    assert not is_damaged(memory, 1, end) or len(found) < len(records)


@pytest.mark.parametrize(
    "at", [0, 1, 5, 13, 30]
)  # length, checksum, record, and the second of all that
def test_whole_records_behind_a_bad_one_are_damage_and_no_torn_tail(at: int) -> None:
    memory, _ = write([b"a name of a pool", *[b"another" * 5] * 30])
    memory[at] ^= 4
    found, end = read_records(memory, 1)
    assert len(found) == (at >= 28)
    assert is_damaged(memory, 1, end)


def test_the_last_record_may_be_torn_anywhere() -> None:
    memory, log = write([b"one", b"two"])
    for at in range(15, log.end):
        memory[at] ^= 4
        found, end = read_records(memory, 1)
        assert (found, is_damaged(memory, 1, end)) == ([b"one"], False)
        memory[at] ^= 4


@given(data=st.binary(max_size=200), epoch=st.integers(0, (1 << 64) - 1))
def test_any_bytes_are_a_log(data: bytes, epoch: int) -> None:
    records, end = read_records(memoryview(data), epoch)
    assert not any(len(record) > RECORD_BYTES_MAX for record in records)
    assert end <= len(data)


def test_records_of_an_earlier_epoch_do_not_count() -> None:
    memory, _ = write([b"old", b"older"])
    assert read_records(memory, 2) == ([], 0)


def test_a_record_inside_a_torn_one_does_not_come_to_light() -> None:
    """Names come from programs."""
    memory, log = write([b"first"])
    end = log.end
    inner, _ = write([b"forged"])
    # What a torn write left: no frame, and behind its place a record with a frame of its own.
    memory[end + 12 + 4 : end + 12 + 4 + 18] = inner[:18]
    again = RecordLog(memory, 1, end=end)
    assert again.append(b"four")
    assert read_records(memory, 1)[0] == [b"first", b"four"]


def test_a_full_log_takes_no_more_and_says_so() -> None:
    memory, log = write([])
    count = 0
    while log.append(b"x" * RECORD_BYTES_MAX):
        count += 1
    assert count == LOG_BYTES // (RECORD_BYTES_MAX + 12)
    assert len(read_records(memory, 1)[0]) == count
