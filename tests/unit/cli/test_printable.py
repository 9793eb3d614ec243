from ramsterd.cli.printable import printable


def test_a_terminal_only_shows_what_another_node_says() -> None:
    said = {"a\x1b[2J": ["rack\r\n2", 7, None, {"b": "\x9b1m", "c": "Zürich"}]}
    assert printable(said) == {"a�[2J": ["rack��2", 7, None, {"b": "�1m", "c": "Zürich"}]}
