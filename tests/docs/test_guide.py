"""What the guide and getting started show is run, with real daemons and the tools of libnbd."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from config.load import load_node
from tests.docs.pages import DOCS, ROOT, blocks, section, strings_of_the_code
from tests.helpers.requirements import require_tool
from tests.system.tmem_daemons import DaemonProcess, free_ports, wait_for

GUIDE: Final = (DOCS / "guide.md").read_text()
START: Final = (DOCS / "getting-started.md").read_text()
# The page puts the commands into the path; here they are those of this interpreter.
RAMSTERCTL: Final = f"ramsterctl() {{ {sys.executable} -c 'from ramsterd.cli.ramsterctl import main; main()' \"$@\"; }}"


def shown_files(text: str) -> dict[str, str]:
    """Return the configuration files of a page by the name in their first line."""
    return dict(re.findall(r"```toml\n# (\S+\.toml).*?\n(.*?)```", text, re.DOTALL))


def test_the_configuration_of_the_guide_is_accepted(tmp_path: Path) -> None:
    for name, text in shown_files(GUIDE).items():
        (tmp_path / name).write_text(text)
    daemon, cluster, node = load_node(tmp_path / "ramsterd.toml")
    assert (node.name, len(cluster.node), len(daemon.export)) == ("alpha", 2, 1)


@pytest.mark.slow
def test_the_result_in_the_readme_is_what_the_demo_prints() -> None:
    result = blocks((ROOT / "README.md").read_text(), "")[0].split("result\n")[1]
    labels = [re.match(r"  (.*?)(?=  )", f"{line}  ") for line in result.splitlines()]
    for label in labels:
        assert label is not None
        fixed = label[1].replace("alpha", "").replace("beta", "").replace("gamma", "").rstrip()
        assert fixed in strings_of_the_code(), fixed


@dataclass(frozen=True)
class Shown:
    """The folder of getting started, with its two daemons."""

    folder: Path
    alpha: DaemonProcess

    def type(self, script: str) -> str:
        """Return what a shell in that folder prints; it must not fail."""
        done = subprocess.run(
            ["/bin/bash", "-e", "-c", f"{RAMSTERCTL}\n{script}"],
            cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def shown() -> Iterator[Shown]:
    """Start the two daemons, with the files of the page word for word but for the ports."""
    require_tool("nbdinfo", "nbdcopy")
    with tempfile.TemporaryDirectory(prefix="gs") as name:
        folder = Path(name)
        ports = iter(free_ports(2))
        for file, text in shown_files(START).items():
            moved = re.sub(r"port = \d+", lambda _: f"port = {next(ports)}", text)
            (folder / file).write_text(moved)
        alpha, beta = (DaemonProcess(folder, each) for each in ("alpha", "beta"))
        try:
            for each in (alpha, beta):
                each.control = folder / f"{each.name}.sock"
                each.start()
            wait_for(lambda: "link is up" in alpha.log(), alpha.log)
            yield Shown(folder, alpha)
        finally:
            alpha.stop(signal.SIGKILL)
            beta.stop(signal.SIGKILL)


def shape(line: str) -> str:
    """Return a line without its numbers and names, and without what this machine allows."""
    bare = re.sub(r"\b(alpha|beta|gamma|sample|try|swap0|disk0)\b", "NAME", line)
    bare = re.sub(r"memory is (not )?locked( \(.*?\))?", "memory is LOCKED", bare)
    numberless = re.sub(r"\d(?:[\d.,]*\d)?( [KMGT]?i?B\b)?", "N", bare.partition(", mostly by")[0])
    return " ".join(numberless.split())


@pytest.mark.system
@pytest.mark.slow
def test_getting_started_leads_to_what_it_promises(shown: Shown) -> None:
    """A disk that is twice the budget, read back; `status` and `nodes` print what the guide shows."""
    write, look, compare = blocks(section(START, "A disk"), "sh")
    shown.type(write)
    nodes, status = shown.type(look).split("\nnode alpha", 1)
    assert {shape(line) for line in f"node alpha{status}".splitlines()} == {
        shape(line) for line in blocks(GUIDE, "status")[0].splitlines()
    }
    assert nodes.splitlines()[0].split() == blocks(GUIDE, "nodes")[0].splitlines()[0].split()
    (there,) = re.findall(r"at beta +([\d,]+) pages of this node", status)
    assert int(there.replace(",", "")) > (32 - 16) * 256
    shown.type(f"{write.splitlines()[0]}\n{compare}")


@pytest.mark.system
@pytest.mark.slow
def test_a_restart_keeps_the_disk_and_a_stop_loses_it_as_getting_started_says(
    shown: Shown,
) -> None:
    restart, ask, reset = blocks(section(START, "What a restart means"), "sh")
    shown.type(blocks(section(START, "A disk"), "sh")[0])
    assert " used" in shown.type(ask)
    assert "the daemon serves again" in shown.type(restart)
    assert " used" in shown.type(ask)
    shown.alpha.stop(signal.SIGINT)
    shown.alpha.start()
    assert " lost" in shown.type(ask)
    shown.type(reset)
    assert " blank" in shown.type(ask)
