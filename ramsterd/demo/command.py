"""The command line of the demo, and what its exit status says.

0 if all that is claimed held, 1 if not or if it could not be done, 130 if it was interrupted.
"""

import sys
from pathlib import Path
from typing import Final

import click

from config.units import parse_bytes
from ramsterd.client.nbd import NbdError
from ramsterd.demo.archive import (
    PIECE_BYTES,
    Archive,
    TreeTooSmall,
    checked_folder,
    plan_archive,
    python_folders,
)
from ramsterd.demo.cluster import Cluster, ClusterFailed
from ramsterd.demo.main_job import run_main_job
from ramsterd.demo.report import Report, complain
from ramsterd.demo.stopping import Stopping

ARCHIVE_BYTES_MIN: Final = "64MiB"
# Enough for a clear picture, and done within a minute on two cores.
ARCHIVE_BYTES_MAX: Final = 128 * 2**20

assert PIECE_BYTES < parse_bytes(ARCHIVE_BYTES_MIN) < ARCHIVE_BYTES_MAX


@click.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    help="Take the files under this folder.  [default: Python's library and its packages]",
)
@click.option(
    "--bytes-min",
    default=ARCHIVE_BYTES_MIN,
    hidden=True,
    help="The least an archive must have; our own tests are content with less.",
)
@click.pass_obj
def demo(stopping: Stopping, folder: Path | None, bytes_min: str) -> None:
    """Start three daemons, stream an archive of real files through them, and show what happened.

    The first one's budget is a quarter of what the archive compresses to, so most pages go to the
    other two.  Everything is read back, compared, and flushed; nothing is left behind.
    """
    try:
        folders = python_folders() if folder is None else [checked_folder(folder)]
        archive = plan_archive(
            folders, bytes_min=parse_bytes(bytes_min), bytes_max=ARCHIVE_BYTES_MAX
        )
    except (TreeTooSmall, ValueError) as error:
        complain(str(error))
        sys.exit(1)
    report = Report(sys.stdout)
    cluster = Cluster(stopping)
    # Nested: a signal may come between the first `finally` and `ignore`.
    try:
        try:
            is_done = _do_main_job(archive, cluster, report)
        finally:
            _clean_up(stopping, report, cluster)
    finally:
        _clean_up(stopping, report, cluster)
    stopping.raise_again()
    sys.exit(0 if is_done else 1)


def _do_main_job(archive: Archive, cluster: Cluster, report: Report) -> bool:
    """Return whether it could be done and all claims held; if not, say why."""
    try:
        run_main_job(archive, cluster, report)
    except (ClusterFailed, NbdError, OSError) as error:
        report.end_live_line()
        _show_logs(cluster)
        complain(f"{error}")
        return False
    if report.has_failed:
        _show_logs(cluster)
        complain("not all of the above held")
    return not report.has_failed


def _clean_up(stopping: Stopping, report: Report, cluster: Cluster) -> None:
    stopping.ignore()
    cluster.close()
    report.end_live_line()


def _show_logs(cluster: Cluster) -> None:
    for name, lines in cluster.log_tails():
        for line in lines:
            complain(f"{name}: {line}")
