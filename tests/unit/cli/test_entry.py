"""What happens before the daemon is there; each in a process of its own, for signals and descriptors are of processes."""

import signal
import subprocess
import sys

import pytest

from tests.helpers.programs import environment

pytestmark = pytest.mark.slow


def run(code: str, *, prelude: str = "") -> str:
    command = [sys.executable, "-c", code]
    if prelude:
        command = ["sh", "-c", f'{prelude}; exec "$@"', "sh", *command]
    done = subprocess.run(
        command, capture_output=True, check=False, env=environment(), text=True, timeout=30
    )
    assert done.returncode == 0, done
    return done.stdout


def test_signals_are_held_before_anything_heavy_is_imported() -> None:
    heavy = run(
        "import sys; import ramsterd.cli.entry; from ramsterd.host.signals import hold_signals; hold_signals();"
        "print({'trio', 'click', 'msgpack', 'logging', 'ssl', 'prometheus_client'} & set(sys.modules))"
    )
    assert heavy.strip() == "set()"


@pytest.mark.parametrize("command", ["main", "ramsterctl"])
def test_ctrl_c_while_modules_are_imported_ends_the_command_without_a_word(command: str) -> None:
    code = f"""
import os, signal, sys
from ramsterd.cli import entry
class Impatient:
    def find_spec(self, name, *_):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Impatient())
entry.{command}()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, check=False, env=environment(), text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_garbage_is_collected_again_when_all_is_imported() -> None:
    said = run("""
import gc
import ramsterd.cli.ramsterd as command
from ramsterd.cli import entry
command.main = lambda **_: print(gc.isenabled())
entry.main()
""")
    assert said == "True\n"


def test_a_hangup_is_kept_until_it_can_be_heard_and_other_signals_end_nothing() -> None:
    said = run("""
import os, signal
from ramsterd.host.signals import USELESS, hold_signals, release_hangup
hold_signals()
for number in (signal.SIGHUP, signal.SIGPIPE, *USELESS):
    os.kill(os.getpid(), number)
heard = []
signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))
assert not heard
release_hangup()
print([number.name for number in map(signal.Signals, heard)])
""")
    assert said == "['SIGHUP']\n"


def test_an_order_to_stop_waits_until_it_can_be_heard() -> None:
    said = run("""
import os, signal
from ramsterd.host.signals import hold_stop, release_stop
hold_stop()
os.kill(os.getpid(), signal.SIGTERM)
heard = []
signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
assert not heard
release_stop()
release_stop()
print([number.name for number in map(signal.Signals, heard)])
""")
    assert said == "['SIGTERM']\n"


def test_children_inherit_no_ignored_signal() -> None:
    """Beyond those that this process was started with, as a shell does in the background."""
    said = run("""
import subprocess
from ramsterd.host.signals import hold_signals, release_hangup
def of_a_child():
    command = ["grep", "-E", "SigIgn|SigBlk", "/proc/self/status"]
    said = subprocess.run(command, capture_output=True, check=True).stdout
    return [int(line.split()[1], 16) for line in said.splitlines()]
before = of_a_child()
hold_signals()
release_hangup()
print([now & ~then for now, then in zip(of_a_child(), before, strict=True)])
""")
    assert said == "[0, 0]\n"


def test_closed_standard_files_are_opened_on_nothing() -> None:
    """Or the first socket would become standard error, and get the log."""
    code = """
import os, sys
from ramsterd.cli.entry import open_standard_files
open_standard_files()
names = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 2)]
print(names)
"""
    assert run(code, prelude="exec 0<&- 2>&-") == "['/dev/null', '/dev/null']\n"
