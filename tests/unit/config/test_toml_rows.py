"""Rows of an array of tables change in a TOML text; every other line stays."""

import tomllib

import pytest

from config.toml_rows import CannotEdit, append_row, remove_row, set_value

TEXT = """\
# top
name = "test"

# about a
[[disk]]
name = "a"  # first
size = '1GiB' # how large
# speaks of a
#swap = false

[other]
x = [ # not a row
  "[[disk]]",
]
y = '''
[[disk]]
name = "b"
'''

[[ disk ]]
size = 4096
"name" = "b"
# about the last
[last]
z = 1
"""


def test_a_row_is_added_behind_the_last_one() -> None:
    new = append_row(TEXT, "disk", {"name": 'q"\\uote\x7f\n', "size": "2GiB", "swap": True})
    row = '[[disk]]\nname = "q\\"\\\\uote\\u007f\\n"\nsize = "2GiB"\nswap = true\n'
    assert new == TEXT.replace('"name" = "b"\n#', f'"name" = "b"\n{row}#')
    assert tomllib.loads(new)["disk"][2]["name"] == 'q"\\uote\x7f\n'


def test_a_first_row_stands_at_the_end() -> None:
    assert append_row("", "disk", {"n": 1}) == "[[disk]]\nn = 1\n"
    assert append_row("a = 1", "disk", {"n": 1}) == "a = 1\n\n[[disk]]\nn = 1\n"
    assert append_row("a = 1\n\n", "disk", {"n": 1}) == "a = 1\n\n[[disk]]\nn = 1\n"


@pytest.mark.parametrize(
    ("before", "behind", "added"),
    [
        ("a = 1\n[[disk]]\nn = 1\n", "[b]\n", "[[disk]]\nn = 2\n"),
        ("a = 1\n\n[[disk]]\nn = 1\n", "# of b\n[b]\n", "[[disk]]\nn = 2\n"),
        ("a = 1\n[[disk]]\nn = 1\n", "\n[b]\n", "[[disk]]\nn = 2\n"),
        ("a = 1\n\n[[disk]]\nn = 1\n", "\n[b]\n", "\n[[disk]]\nn = 2\n"),
        ("[[disk]]\nn = 1\n#m = 1\n", "", "\n[[disk]]\nn = 2\n"),
        ("a = 1\n[[disk]]\nn = 1\n#m = 1\n", "", "\n[[disk]]\nn = 2\n"),
    ],
)
def test_blank_lines_stand_around_a_new_row_as_around_the_last_one_and_go_with_it(
    before: str, behind: str, added: str
) -> None:
    new = append_row(before + behind, "disk", {"n": 2})
    assert new == before + added + behind
    assert remove_row(new, "disk", 1) == before + behind


def test_comments_around_a_row_without_a_blank_line_go_with_it() -> None:
    new = remove_row(TEXT, "disk", 0)
    gone = TEXT[TEXT.index("# about a") : TEXT.index("[other]")]
    assert "# speaks of a" in gone
    assert new == TEXT.replace(gone, "", 1)


def test_comments_that_go_on_to_the_next_header_speak_of_it_and_stay() -> None:
    new = remove_row(TEXT, "disk", 1)
    assert new.endswith("'''\n\n# about the last\n[last]\nz = 1\n")


@pytest.mark.parametrize(
    ("text", "index", "rest"),
    [
        (
            "# alice: keep\n[[disk]]\nn = 1\n[[disk]]\nn = 2\n",
            0,
            "[[disk]]\nn = 2\n",
        ),
        (
            "[[disk]]\nn = 1\n# of 2\n# more\n[[disk]]\nn = 2\n",
            0,
            "# of 2\n# more\n[[disk]]\nn = 2\n",
        ),
        (
            "[[disk]]\nn = 1\n# of 2\n# more\n[[disk]]\nn = 2\n",
            1,
            "[[disk]]\nn = 1\n",
        ),
        (
            "# of the file\n\n# of 1\n[[disk]]\nn = 1\n\n# of 2\n[[disk]]\nn = 2\n",
            0,
            "# of the file\n\n# of 2\n[[disk]]\nn = 2\n",
        ),
    ],
)
def test_comments_above_a_header_go_with_their_own_row_and_never_speak_of_another(
    text: str, index: int, rest: str
) -> None:
    assert remove_row(text, "disk", index) == rest


def test_the_only_row_goes_with_the_blank_line_that_came_with_it() -> None:
    for text in ("a = 1\n", "a = 1\n\n[[x]]\nb = 2\n", "# only a comment\n", ""):
        assert remove_row(append_row(text, "disk", {"n": 1}), "disk", 0) == text


def test_a_value_changes_in_its_place_and_comments_behind_it_stay() -> None:
    new = set_value(TEXT, "disk", 0, "size", "2GiB")
    assert new == TEXT.replace("size = '1GiB' #", 'size = "2GiB" #')
    new = set_value(TEXT, "disk", 1, "name", "c")
    assert new == TEXT.replace('"name" = "b"\n#', '"name" = "c"\n#')


def test_a_new_key_stands_behind_the_others() -> None:
    new = set_value(TEXT, "disk", 0, "swap", True)
    assert new == TEXT.replace("# how large\n", "# how large\nswap = true\n")
    assert set_value("[[disk]]", "disk", 0, "n", 1) == "[[disk]]\nn = 1\n"
    sub = "[[disk]]\nn = 1\n[disk.sub]\nm = 2\n"
    assert set_value(sub, "disk", 0, "k", 3) == "[[disk]]\nn = 1\nk = 3\n[disk.sub]\nm = 2\n"


def test_lines_end_as_those_of_the_file() -> None:
    text = "a = 1\r\n[[disk]]\r\nn = 1"
    assert append_row(text, "disk", {"n": 2}) == text + "\r\n[[disk]]\r\nn = 2\r\n"
    assert set_value(text + "\r\n", "disk", 0, "m", 2) == text + "\r\nm = 2\r\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("disk = [{n = 1}]\n", "no [[disk]] tables"),
        ("disk = 1\n", "no [[disk]] tables"),
        ("disk = []\n", "an empty array instead of [[disk]] tables"),
        ("[disk]\nn = 1\n", "no [[disk]] tables"),
    ],
)
def test_rows_that_are_no_tables_are_refused(text: str, found: str) -> None:
    with pytest.raises(CannotEdit) as refused:
        append_row(text, "disk", {"n": 2})
    assert str(refused.value) == found


def test_a_row_of_which_a_part_stands_elsewhere_is_refused() -> None:
    text = "[[disk]]\nn = 1\n[other]\n[disk.sub]\nm = 2\n"
    with pytest.raises(CannotEdit, match="a part stands elsewhere"):
        remove_row(text, "disk", 0)
    with pytest.raises(CannotEdit, match="a part stands elsewhere"):
        set_value("[[disk]]\nn.a = 1\n", "disk", 0, "n", 2)


def test_a_text_that_is_no_toml_is_no_matter_of_layout() -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        remove_row("[[disk]\n", "disk", 0)
