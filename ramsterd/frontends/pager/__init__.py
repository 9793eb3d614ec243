"""The pager: the calls of front ends, and the order in which they take effect."""

from ramsterd.core.extents import StatusRun
from ramsterd.frontends.pager.client import PagerClient
from ramsterd.frontends.pager.interface import (
    DiskClient,
    DiskPager,
    Dropped,
    EachCame,
    EachGot,
    GetDoneCallback,
    GetResult,
    PutOutcome,
    Taken,
)
from ramsterd.frontends.pager.pager import Pager, PagerStatistics
from ramsterd.remote.fetch.pending import GetOutcome, Pages

__all__ = [
    "DiskClient",
    "DiskPager",
    "Dropped",
    "EachCame",
    "EachGot",
    "GetDoneCallback",
    "GetOutcome",
    "GetResult",
    "Pager",
    "PagerClient",
    "PagerStatistics",
    "Pages",
    "PutOutcome",
    "StatusRun",
    "Taken",
]
