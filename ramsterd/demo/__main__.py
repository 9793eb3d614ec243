"""`python -m ramsterd.demo`, behind `make demo` and `ramsterctl demo`.

Exit status: 0 if all that is claimed held, 1 if not or if it could not be done, 130 if it was interrupted.
"""

import sys
from pathlib import Path
from typing import Final

import click

from config.units import parse_bytes
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
from ramsterd.demo.stopping import Interrupted, Stopping
from ramsterd.nbd.client import NbdError

ARCHIVE_BYTES_MIN: Final = "64MiB"
# Enough for a clear picture, and done within a minute on two cores.
ARCHIVE_BYTES_MAX: Final = 128 * 2**20
EX_INTERRUPTED: Final = 130


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
def demo(folder: Path | None, bytes_min: str) -> None:
    """Start three daemons, stream an archive of real files through them, and show what happened.

    The first one's budget is a quarter of what the archive compresses to, so most pages overflow to the
    other two.  Everything is read back, compared, and flushed; nothing is left behind.
    """
    stopping = Stopping()
    stopping.install()
    try:
        folders = python_folders() if folder is None else [checked_folder(folder)]
        archive = plan_archive(
            folders, bytes_min=parse_bytes(bytes_min), bytes_max=ARCHIVE_BYTES_MAX
        )
        status = _run(archive, stopping)
    except (TreeTooSmall, ValueError) as error:
        complain(str(error))
        status = 1
    except Interrupted as signal:
        complain(f"{signal}: interrupted; the daemons are stopped and their files removed")
        status = EX_INTERRUPTED
    sys.exit(status)


def _run(archive: Archive, stopping: Stopping) -> int:
    report = Report(sys.stdout)
    cluster = Cluster(stopping)
    # Nested, because a signal may end the first close; there is no second signal (ramsterd.demo.stopping).
    try:
        try:
            run_main_job(archive, cluster, report)
        except (ClusterFailed, NbdError, OSError) as error:
            report.end_live_line()
            _show_failure(cluster, error)
            return 1
        else:
            if report.has_failed:
                _show_logs(cluster)
                complain("not all of the above held")
            return int(report.has_failed)
        finally:
            report.end_live_line()
            cluster.close()
    finally:
        cluster.close()


def _show_failure(cluster: Cluster, error: Exception) -> None:
    _show_logs(cluster)
    complain(f"{type(error).__name__}: {error}")


def _show_logs(cluster: Cluster) -> None:
    for name, lines in cluster.log_tails():
        for line in lines:
            complain(f"{name}: {line}")


assert PIECE_BYTES < parse_bytes(ARCHIVE_BYTES_MIN) < ARCHIVE_BYTES_MAX

if __name__ == "__main__":
    demo(prog_name="demo")
