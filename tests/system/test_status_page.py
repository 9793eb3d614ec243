"""The status page of real daemons in a real Chromium: what it shows, at any width, in the dark, and when a daemon ends."""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.requirements import require_tool
from tests.system.browser import CHROMIUM, Browser, started
from tests.system.conftest import NewCluster
from tests.system.daemons import Cluster, free_ports
from tests.system.fill import fill_runs

# Width and height.
DESK = (1200, 900)
PHONE = (390, 844)
# Of letters to their ground (WCAG 2, 1.4.3).
CONTRAST_MIN = 4.5


@pytest.fixture
def browser() -> Iterator[Browser]:
    require_tool(CHROMIUM)
    with started() as browser:
        yield browser


def new_shown_cluster(new_cluster: NewCluster) -> tuple[Cluster, str]:
    """Return three nodes that show their page, and the address of the first one's."""
    cluster = new_cluster(budgets=["24MiB", "64MiB", "64MiB"], export="32MiB")
    ports = free_ports(3)
    for node, port in zip(cluster, ports, strict=True):
        with node.config.open("a") as file:
            file.write(f'[metrics]\nlisten = "127.0.0.1:{port}"\n')
    cluster.start()
    return cluster, f"http://127.0.0.1:{ports[0]}/"


def text(browser: Browser) -> str:
    return str(browser.evaluate("document.body.innerText"))


@pytest.mark.slow
def test_a_browser_shows_nodes_memory_and_health_and_keeps_them_fresh(
    new_cluster: NewCluster, browser: Browser
) -> None:
    cluster, url = new_shown_cluster(new_cluster)
    browser.open(url, *DESK)
    browser.wait_for("document.querySelectorAll('#nodes tbody tr').length === 3")
    shown = text(browser)
    assert "test / n1" in shown
    assert "n1 (this node)" in shown
    assert "NOT_KEPT" in shown
    assert "ramsterctl doctor" in shown
    assert "swap0" in shown
    fill_runs(cluster[1], 120)
    # Without a reload: the memory, the rates and what peers hold.
    browser.wait_for("document.querySelector('#memory i').getBoundingClientRect().width > 20")
    browser.wait_for("/[1-9][0-9,]* pages? in/.test(document.querySelector('#legend').innerText)")
    browser.wait_for(
        "/[1-9]/.test(document.querySelector('#nodes tr:nth-child(2) td:nth-child(5)').innerText)"
    )
    cluster[1].ask("node-drain", name="n2", reason="a new disk")
    browser.wait_for("/drain-[0-9]+/.test(document.querySelector('#jobs').innerText)")
    browser.wait_for("document.querySelector('#notes').innerText.startsWith('n2 is drain')")
    assert "(a new disk); to end this: ramsterctl node uncordon n2" in text(browser)
    assert browser.evaluate(_MANY_NOTES) == ["m7 is cordoned", "4 more: ramsterctl health"]
    cluster[3].kill()
    browser.wait_for("document.querySelector('#nodes').innerText.includes('down')")
    browser.wait_for("document.querySelector('#codes').innerText.includes('NODE_DOWN')")
    assert browser.complaints == []


@pytest.mark.slow
def test_nothing_is_cut_off_at_any_width_and_in_the_dark(
    new_cluster: NewCluster, browser: Browser, tmp_path: Path
) -> None:
    cluster, url = new_shown_cluster(new_cluster)
    fill_runs(cluster[1], 120)
    for screen, dark in itertools.product((DESK, PHONE), (False, True)):
        browser.open(url, *screen, dark=dark)
        browser.wait_for("document.querySelectorAll('#nodes tbody tr').length === 3")
        assert browser.evaluate("document.documentElement.scrollWidth") <= screen[0]
        assert browser.evaluate(_IS_INSIDE)
        assert browser.evaluate(_CONTRAST) >= CONTRAST_MIN
        browser.take_picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 10_000
    assert browser.complaints == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_page_whose_daemon_has_ended_says_that_it_is_old_until_the_daemon_is_back(
    new_cluster: NewCluster, browser: Browser
) -> None:
    cluster, url = new_shown_cluster(new_cluster)
    browser.open(url, *DESK)
    browser.wait_for("document.querySelectorAll('#nodes tbody tr').length === 3")
    os.kill(cluster[1].pid, signal.SIGSTOP)
    try:
        browser.wait_for("document.querySelector('#lost').innerText.startsWith('No answer')")
    finally:
        os.kill(cluster[1].pid, signal.SIGCONT)
    browser.wait_for("!document.body.classList.contains('stale')")
    cluster[1].stop()
    browser.wait_for("document.body.classList.contains('stale')")
    cluster[1].start()
    cluster[1].wait_ready()
    browser.wait_for("!document.body.classList.contains('stale')")


# The last two lines of more notes than there is room for.
_MANY_NOTES = """(() => {
  const notes = [...Array(12).keys()].map((each) => `m${each} is cordoned`);
  showHealth({ severity: "ok", failure_tolerance_nodes: 0, codes: [], notes });
  return [...document.querySelectorAll("#notes li")].map((each) => each.textContent).slice(-2);
})()"""
_IS_INSIDE = """[...document.querySelectorAll("section *")].every(
  (each) => each.getBoundingClientRect().right <= innerWidth
)"""
# The lowest contrast between a text and the card on which it stands.
_CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((each) => each / 255);
  const light = (each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4;
  const luminance = (colour) => {
    const [red, green, blue] = parts(colour).map(light);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const card = luminance(getComputedStyle(document.querySelector("section:not(#lost)")).backgroundColor);
  const texts = [...document.querySelectorAll("section:not(#lost) *")].filter((each) => each.innerText);
  return Math.min(...texts.map((each) => {
    const own = luminance(getComputedStyle(each).color);
    return (Math.max(own, card) + 0.05) / (Math.min(own, card) + 0.05);
  }));
})()"""
