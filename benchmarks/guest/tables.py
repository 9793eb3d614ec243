"""The ancestor's columns beside ours, as Markdown."""

from benchmarks.swapping.cells import Cells
from benchmarks.swapping.tables import by_setting, row

# How many compilers at once.
SIZES = (2, 4, 6, 8, 12)
QUICK_SIZES = (3,)
ALL_SIZES = sorted({*SIZES, *QUICK_SIZES})
# Dan Magenheimer, linux-kernel, 21 March 2012: seconds of `make -jN` of a kernel on 1 GB, with a peer of 8 GB.
ANCESTOR = (
    ("4-12", "858-879", "856-877", "866-887"),
    ("24", "2164", "1714", "1788"),
    ("28", "3293", "2500", "2177"),
    ("32", "4286", "4282", "3599"),
    ("36", "6516", "6602", "5394"),
    ("40", "over 5 h", "13755", "8172"),
)
# The same for a plot; "over 5 h" is drawn as that.
ANCESTOR_SECONDS = {
    "swap to disk": ((8, 868), (24, 2164), (28, 3293), (32, 4286), (36, 6516), (40, 18000)),
    "zcache only": ((8, 866), (24, 1714), (28, 2500), (32, 4282), (36, 6602), (40, 13755)),
    "RAMster": ((8, 876), (24, 1788), (28, 2177), (32, 3599), (36, 5394), (40, 8172)),
}


def markdown(cells: Cells) -> list[str]:
    """Return our tables: seconds, then pages that came back from swap."""
    return [
        "Seconds of `make -jN`:",
        "",
        *by_setting(cells, "N", ALL_SIZES, "seconds", "{:.0f}"),
        "",
        "Pages read from swap:",
        "",
        *by_setting(cells, "N", ALL_SIZES, "pswpin", "{:,.0f}", has_baseline=False),
    ]


def ancestor_markdown() -> list[str]:
    """Return the ancestor's table."""
    return [
        row("N", "swap to disk", "zcache only", "RAMster"),
        row(*["---"] * 4),
        *(row(*each) for each in ANCESTOR),
    ]
