"""Draw the screens that the documents show, from three real daemons under load, of which one has ended.

    python -m benchmarks.screens docs/screens

The status page by a real Chromium (PNG), and `top`, `health` and `doctor` as a terminal shows them (SVG).
"""

import argparse
import io
import re
import subprocess
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.helpers.programs import RAMSTERCTL, environment
from tests.system.browser import started
from tests.system.daemons import Cluster, Node, free_ports
from tests.system.fill import check_runs, fill_runs

RUNS_COUNT = 140
READS_COUNT = 4
COLUMNS = 100
DESK = (1100, 800)
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
NOTHING_FAILED = (0, 1, 2)  # `health` and `doctor` say by their status what they found


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="screens-") as files,
        tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as sockets,
    ):
        cluster = Cluster(
            Path(files), Path(sockets), budgets=["24MiB", "64MiB", "64MiB"], export="64MiB"
        )
        [port] = free_ports(1)
        with cluster[1].config.open("a") as file:
            file.write(f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
        cluster.start()
        try:
            draw(cluster, f"http://127.0.0.1:{port}/", folder)
        finally:
            cluster.close()


def draw(cluster: Cluster, page: str, folder: Path) -> None:
    """Draw the page while reads go on, and the terminal after a node has ended."""
    owner = cluster[1]
    runs = fill_runs(owner, RUNS_COUNT)
    with started() as browser:
        browser.open(page, *DESK)
        browser.wait_for("document.querySelectorAll('#nodes tbody tr').length === 3")
        for _ in range(READS_COUNT):
            check_runs(owner, runs)
            time.sleep(2)
        browser.take_picture(folder / "status-page.png")
        cluster[3].kill()
        browser.wait_for("document.querySelector('#codes').innerText.includes('NODE_DOWN')")
    for name, words in (
        ("top", "top --once"),
        ("top-cluster", "top --cluster --once"),
        ("health", "health"),
        ("doctor", f"doctor --swap --config {owner.config}"),
    ):
        (folder / f"{name}.svg").write_text(
            drawn(f"ramsterctl {words.split(' --config')[0]}", typed(owner, words))
        )


def typed(node: Node, words: str) -> str:
    """Return what a command writes on a terminal with colours."""
    command = [*RAMSTERCTL, "--socket", str(node.control), *words.split()]
    line = " ".join(f"'{word}'" for word in command).replace("'--socket'", "--socket")
    done = subprocess.run(
        ["script", "-qec", line, "/dev/null"], capture_output=True, text=True, check=False, timeout=60,
        env={**environment(), "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode in NOTHING_FAILED, done.stdout
    return done.stdout.replace(str(node.config.parent), "/etc/ramster").replace("\r", "")


def drawn(title: str, text: str) -> str:
    """Return a terminal as SVG."""
    console = Console(width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.rstrip()))
    # Every browser has a font: none is loaded from elsewhere.
    return FONTS.sub("", console.export_svg(title=title))


if __name__ == "__main__":
    main()
