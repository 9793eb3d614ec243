"""Exports change in the text of a node's own file."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.export_edits import AddExport, ExportEdit, RemoveExport, ResizeExport, edit_exports
from config.model import DaemonConfig, Durability, ExportConfig
from config.reader import read_toml
from tests.helpers.config_texts import DAEMON, SAMPLES

GIB = 1 << 30
NEW = ExportConfig(name="new", size=2 * GIB)


def read(text: str) -> DaemonConfig:
    return read_toml(text.encode(), DaemonConfig, file="f", folder=Path("/"))


def edit(text: str, change: ExportEdit) -> str:
    return edit_exports(text, read(text).export, change, file="ramsterd.toml")


def test_a_new_export_names_what_differs_from_the_defaults() -> None:
    assert edit(DAEMON, AddExport(NEW)) == (DAEMON + '[[export]]\nname = "new"\nsize = "2GiB"\n')
    export = replace(
        NEW, description='a "new" one', swap=True, copies=2, durability=Durability.REPLICATED
    )
    new = edit(DAEMON, AddExport(export))
    assert new.endswith(
        'description = "a \\"new\\" one"\ndurability = "replicated"\ncopies = 2\nswap = true\n'
    )
    assert read(new).export == (*read(DAEMON).export, export)


def test_in_the_sample_a_new_export_stands_behind_all_that_is_said_of_the_first() -> None:
    text = (SAMPLES / "ramsterd.toml").read_text()
    new = edit(text, AddExport(NEW))
    place = text.index("# The socket for programs with pools of their own")
    assert new == text[:place] + '[[export]]\nname = "new"\nsize = "2GiB"\n\n' + text[place:]
    assert edit(new, RemoveExport("new")) == text


def test_an_export_goes_and_the_others_stay() -> None:
    new = edit(DAEMON, RemoveExport("swap0"))
    assert [each.name for each in read(new).export] == ["disk1"]
    assert "swap0" not in new


def test_a_size_changes() -> None:
    assert edit(DAEMON, ResizeExport("swap0", GIB)) == DAEMON.replace('"1MiB"', '"1GiB"')
    assert edit(DAEMON, ResizeExport("disk1", 8192)) == DAEMON.replace("4096", '"8KiB"')


@pytest.mark.parametrize(
    "change",
    [
        AddExport(ExportConfig(name="disk1", size=4096)),
        RemoveExport("new"),
        ResizeExport("disk1", 4096),
    ],
)
def test_what_is_so_already_changes_nothing(change: ExportEdit) -> None:
    assert edit(DAEMON, change) == DAEMON


def test_an_export_that_the_file_does_not_have_gets_no_size() -> None:
    with pytest.raises(ConfigError) as refused:
        edit(DAEMON, ResizeExport("new", 4096))
    assert str(refused.value) == (
        "ramsterd.toml: export: found no export new, expected an export of the file."
        " To put it into the file: `ramsterctl export add new --size SIZE`"
    )


def test_another_export_of_the_name_is_told_with_what_to_type() -> None:
    with pytest.raises(ConfigError) as refused:
        edit(DAEMON, AddExport(ExportConfig(name="disk1", size=8192)))
    assert str(refused.value) == (
        "ramsterd.toml: export: found export disk1 with size 8KiB, expected another name, or its size, 4KiB."
        " To change a size: `ramsterctl export resize disk1 --size SIZE`"
    )


def test_exports_that_are_no_tables_are_the_operator_s_to_change() -> None:
    text = 'node = "a"\ncluster = "c"\nexport = [{name = "x", size = 4096}]\nmemory = {budget = "8MiB"}\n'
    with pytest.raises(ConfigError) as refused:
        edit(text, RemoveExport("x"))
    assert str(refused.value) == (
        "ramsterd.toml: export: found no [[export]] tables, expected each export in one [[export]] table:"
        " edit the file, then type `ramsterctl config reload`"
    )
