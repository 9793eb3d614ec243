import pytest

from config.units import format_bytes, human_bytes, human_count, parse_bytes


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("7B", 7),
        ("64KiB", 65536),
        ("512MiB", 512 << 20),
        ("2 GiB", 2 << 30),
        ("3TiB", 3 << 40),
    ],
)
def test_a_size_is_a_number_or_a_number_with_a_binary_unit(value: object, count: int) -> None:
    assert parse_bytes(value) == count


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "not a boolean"),
        (-1, "not a negative number"),
        (1.5, "a size such as"),
        (None, "a size such as"),
        ("", "a size such as"),
        ("MiB", "a size such as"),
        ("1.5GiB", "a size such as"),
        ("-1KiB", "a size such as"),
        ("1  KiB", "a size such as"),
        ("1KiB\n", "a size such as"),
        ("٣KiB", "a size such as"),
        ("9" * 21, "a size such as"),
        ("512MB", "the units are B, KiB, MiB, GiB, TiB"),
        ("512mib", "the units are B, KiB, MiB, GiB, TiB"),
        ("512M", "the units are B, KiB, MiB, GiB, TiB"),
    ],
)
def test_anything_else_is_refused_with_what_was_expected(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_bytes(value)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (1024, "1KiB"),
        (1025, "1025B"),
        (512 << 20, "512MiB"),
        (3 << 40, "3TiB"),
    ],
)
def test_bytes_are_shown_in_the_largest_unit_that_is_exact(count: int, text: str) -> None:
    assert format_bytes(count) == text
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1_000_000, "976.6 KiB"),
        (1024**2 - 600, "1023.4 KiB"),
        (1024**2 - 1, "1 MiB"),
        (1024**2, "1 MiB"),
        (536870912, "512 MiB"),
        (3 * 1024**3 // 2, "1.5 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_sizes_for_people_have_one_decimal(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_counts_for_people_have_commas() -> None:
    assert human_count(0) == "0 pages"
    assert human_count(1) == "1 page"
    assert human_count(4192, "block") == "4,192 blocks"
