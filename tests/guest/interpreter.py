"""This interpreter and what a program of ours imports, as a folder that runs elsewhere: in a guest without a disk.

Files keep their absolute paths.  Modules are compiled here: a guest under emulation would take minutes for it.
"""

import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Runs a command line to its help, and says which files that took.
_WITNESS = """
import importlib, json, sys
module, arguments, late = json.loads(sys.argv[1])
for name in late:
    importlib.import_module(name)
try:
    importlib.import_module(module).main(arguments, prog_name="program")
except SystemExit:
    pass
files = [getattr(module, "__file__", None) for module in sys.modules.values()]
print("\\n" + json.dumps([each for each in files if each]))
"""
# What a daemon imports after its command line, or may import while it serves.
_DAEMON_LATE = ("ramsterd.cli.entry", "ramsterd.cli.serving", "encodings.ascii", "encodings.idna")


def copy_program(root: Path, arguments: list[str]) -> str:
    """Copy what `ramsterctl` takes to run a command line (with --help at its end); return a shell line that runs it."""
    _copy_files(root, _files_of("ramsterd.cli.ramsterctl", arguments, ()))
    return _line("from ramsterd.cli.ramsterctl import main; main()")


def copy_daemon(root: Path) -> str:
    """Copy what `ramsterd run` takes, to its end; return a shell line that runs `ramsterd`."""
    _copy_files(root, _files_of("ramsterd.cli.ramsterd", ["run"], _DAEMON_LATE))
    return _line("from ramsterd.cli.entry import main; main()")


def _files_of(module: str, arguments: list[str], late: tuple[str, ...]) -> list[Path]:
    """Return the files of all modules that a command line imports, and of those that it imports late."""
    done = subprocess.run(
        [sys.executable, "-c", _WITNESS, json.dumps([module, [*arguments, "--help"], late])],
        capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return [Path(each) for each in json.loads(done.stdout.splitlines()[-1])]


def _copy_files(root: Path, files: list[Path]) -> None:
    interpreter = Path(sys.executable).resolve()
    libraries = {interpreter, *(each for each in files if each.suffix == ".so")}
    for source in sorted(libraries):
        copy_binary(root, source)
    for source in files:
        target = root / source.relative_to("/").with_suffix(".pyc")
        if source.suffix == ".py" and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            py_compile.compile(str(source), str(target), doraise=True)
    # Where it looks for its library, and for what was installed.
    folder = Path(os.__file__).parent
    (root / folder.relative_to("/") / "lib-dynload").mkdir(parents=True, exist_ok=True)


def _line(program: str) -> str:
    interpreter = Path(sys.executable).resolve()
    return (
        f"PYTHONHOME={sys.base_prefix} PYTHONPATH={ROOT}:{sysconfig.get_path('purelib')} PYTHONSAFEPATH=1"
        f" {interpreter} -S -c '{program}'"
    )


def copy_binary(root: Path, source: Path) -> None:
    """Copy a program or a library, with the libraries that it needs, to where they are here."""
    for each in (source, *_needed(source)):
        _copy(root, each)


def _copy(root: Path, source: Path) -> None:
    target = root / source.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        subprocess.run(["strip", "--strip-unneeded", target], capture_output=True, check=False)


def _needed(binary: Path) -> list[Path]:
    """Return the shared libraries of a program, by the paths that it looks for."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True)
    return [Path(each) for each in re.findall(r"(?:=> |^\t)(/\S+) \(", done.stdout, re.MULTILINE)]
