"""Every benchmark can be imported: most of them are run by nobody but who measures."""

import importlib
import pkgutil

import benchmarks


def test_every_module_can_be_imported() -> None:
    names = [each.name for each in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")]
    modules = [name for name in names if not name.endswith(".__main__")]
    assert "benchmarks.screens" in modules
    for name in modules:
        importlib.import_module(name)
