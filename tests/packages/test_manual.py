"""Manual pages are made when they are needed, of what there is: nothing is missing, and man(1) has no complaint."""

import dataclasses
import re
import subprocess
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from config.model import ClusterConfig, DaemonConfig
from packages.manual import roff
from packages.manual.pages import pages
from packages.manual.samples import read_sample
from ramsterd.cli import ramsterctl, ramsterd
from tests.helpers.requirements import require_tool

PAGES: Final = pages("7.1.0", "2020-01-02")
each_page = pytest.mark.parametrize("name", PAGES)


def plain(name: str) -> str:
    """Return the text of a page without fonts and escapes."""
    text = re.sub(r"\\f[BR]", "", PAGES[name])
    return text.replace("\\-", "-").replace("\\(dq", '"').replace("\\(aq", "'").replace("\\&", "")


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")


@pytest.mark.parametrize(
    ("program", "command"), [("ramsterctl", ramsterctl.main), ("ramsterd", ramsterd.main)]
)
def test_every_command_and_every_option_is_in_the_page_of_its_program(
    program: str, command: click.Command
) -> None:
    places = re.split(r"^\.SS ", plain(f"{program}.8"), flags=re.MULTILINE)
    for path, each in commands(command, program):
        (place,) = [
            text for text in places if re.match(rf'"?{path}( \[OPTIONS\]|")', text)
        ] or places[:1]
        for param in each.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert all(f"{name}" in place for name in param.opts), (path, param.name)


def keys_of(model: type) -> Iterator[str]:
    hints = typing.get_type_hints(model)
    for each in dataclasses.fields(model):
        inner = [hints[each.name], *typing.get_args(hints[each.name])]
        models = [kind for kind in inner if dataclasses.is_dataclass(kind)]
        for kind in models:
            assert isinstance(kind, type)
            yield from keys_of(kind)
        if not models:
            yield each.name


@pytest.mark.parametrize(
    ("name", "model"), [("cluster.toml.5", ClusterConfig), ("ramsterd.toml.5", DaemonConfig)]
)
def test_every_key_is_in_the_page_of_its_file(name: str, model: type) -> None:
    found = re.findall(r"^(?:\.TP|\.TQ)\n(\w+)$", plain(name), re.MULTILINE)
    # A table of names that a file chooses: its example is shown.
    assert set(keys_of(model)) - {"subsystems"} == set(found) - {"net"}


@each_page
def test_man_has_no_complaint(name: str, tmp_path: Path) -> None:
    require_tool("man", "mandoc")
    file = tmp_path / name
    file.write_text(PAGES[name])
    man = subprocess.run(
        ["man", "--warnings", "--local-file", "-Tutf8", file],
        capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert man.stderr == ""
    assert "ramster" in man.stdout
    lint = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", file], capture_output=True, text=True, check=False
    )
    assert lint.stdout == ""


@each_page
def test_a_title_is_one_line_for_whatis(name: str) -> None:
    title = PAGES[name].splitlines()[2]
    assert re.fullmatch(r"\\fB[\w.]+\\fR \\- [^.]+", title), title
    assert len(title) < 100


def test_a_sample_says_which_keys_are_required_and_what_others_are_by_default() -> None:
    (top, table) = read_sample(
        "# About the file.\n\n# Its name.\nname = 1\n#spare = 2\n"
        "\n# A kind of\n# thing.\n[[thing]]\n# One.\na = 3\n\n[[thing]]\na = 4  # default 5\n"
    )
    assert (top.texts, top.keys[0].defaults) == (["About the file."], {"name": None, "spare": "2"})
    assert (table.name, table.texts) == ("[[thing]]", ["A kind of thing."])
    assert [(keys.text, keys.defaults) for keys in table.keys] == [("One.", {"a": "5"})]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (".SH not a macro", "\\&.SH not a macro"),
        ("it's `--a-b`\nand \\n", "it\\(aqs \\fB\\-\\-a\\-b\\fR and \\en"),
    ],
)
def test_no_text_means_something_to_roff(text: str, shown: str) -> None:
    assert roff.prose(text) == shown
