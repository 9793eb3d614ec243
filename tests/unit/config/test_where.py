import pytest

from config.where import key_of, locate, show_key

TEXT = """\
node = "alpha"

[[export]]
name = "swap0"
size = "1MiB"

[[export]]  # the second one
# a comment
name = "disk1"
  size = 4096

[log]
level = "info"
"""


@pytest.mark.parametrize(
    ("key", "shown", "in_a_sentence"),
    [
        ("memory.budget", "memory.budget", "memory.budget"),
        ("export[0].name", "export 1: name", "the name of export 1"),
        ("export[1]", "export 2", "export 2"),
        ("node[alpha].port", 'node "alpha": port', 'the port of node "alpha"'),
        ("tmem.users[0]", "tmem.users entry 1", "tmem.users entry 1"),
        ("", "", ""),
    ],
)
def test_rows_are_counted_from_one(key: str, shown: str, in_a_sentence: str) -> None:
    assert show_key(key) == shown
    assert key_of(key) == in_a_sentence


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("export[0].name", 'export 1 ("swap0"), line 4: name'),
        ("export[1].size", 'export 2 ("disk1"), line 10: size'),
        # It is not there: the row is.
        ("export[1].codec", 'export 2 ("disk1"), line 7: codec'),
        ("export[1]", 'export 2 ("disk1"), line 7'),
        # No row of an array of tables, or none of this text.
        ("export[2].name", "export 3: name"),
        ("node[0].name", "node 1: name"),
        ("log.level", "log.level"),
    ],
)
def test_a_key_is_found_in_its_file(key: str, found: str) -> None:
    assert locate(key, TEXT) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Headers that are none.
        ('[[node]]\nname = "a"\nzone = """\n[[node]]\n"""\n', 'node 1 ("a"): zone'),
        ('node = [{name = "a", zone = 1}]\n', 'node 1 ("a"): zone'),
        ('[[node]]\nname = 1\n["x"]\nzone = 1\n', "node 1, line 1: zone"),
        ('[[node]]\nname = "a\\u001b"\nzone = 1\n', "node 1, line 3: zone"),
        ('[[node]]\n"zone" = 1\n', "node 1, line 1: zone"),
        ("[[node]\n", "node 1: zone"),
        ("node = 1\n", "node 1: zone"),
        ("node = [1]\n", "node 1: zone"),
    ],
)
def test_what_can_not_be_known_is_left_out(text: str, found: str) -> None:
    assert locate("node[0].zone", text) == found
