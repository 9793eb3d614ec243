import click

from ramsterd.cli.columns import Column, format_table

COLUMNS = (
    Column("NAME", lambda row: row["name"]),
    Column("PAGES", lambda row: f"{row['pages']:,}", is_right=True),
    Column("ZONE", lambda row: row.get("zone", ""), is_wide=True),
    Column("STATE", lambda row: row["state"], colours={"lost": "red"}),
)
ROWS = (
    {"name": "swap0", "pages": 1_234_567, "state": "used", "zone": "rack2"},
    {"name": "a-longer-name", "pages": 0, "state": "lost"},
)


def lines(text: str) -> list[str]:
    return click.unstyle(text).splitlines()


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    assert lines(format_table(COLUMNS, ROWS)) == [
        "NAME               PAGES  STATE",
        "swap0          1,234,567  used",
        "a-longer-name          0  lost",
    ]


def test_a_wide_table_has_more_columns() -> None:
    assert lines(format_table(COLUMNS, ROWS, is_wide=True)) == [
        "NAME               PAGES  ZONE   STATE",
        "swap0          1,234,567  rack2  used",
        "a-longer-name          0         lost",
    ]


def test_rows_of_several_nodes_say_of_which() -> None:
    assert lines(format_table(COLUMNS, ROWS, nodes=["alpha", "beta"])) == [
        "NODE   NAME               PAGES  STATE",
        "alpha  swap0          1,234,567  used",
        "beta   a-longer-name          0  lost",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert format_table(COLUMNS, ()) == "NAME  PAGES  STATE"


def test_only_what_has_a_colour_gets_one() -> None:
    text = format_table(COLUMNS, ROWS)
    assert click.style("lost", fg="red") in text
    assert text.count("\x1b[3") == 1
