"""The disk of the applications: redis with a client of ours, and a sort of ours."""

from pathlib import Path

from benchmarks.apps import redis
from benchmarks.swapping.guest import first_disk
from tests.guest.image import compile_static

HERE = Path(__file__).parent
# What an application needs is the most that it ever had in memory, as the kernel counts it.
_WORK = """#!/bin/sh
# work redis KEYS VALUE_BYTES OPERATIONS; or work sort MEBIBYTES
case $1 in
redis)
	redis-server --port 0 --unixsocket /tmp/redis --save '' --appendonly no --loglevel warning &
	server=$!
	until [ -S /tmp/redis ]; do usleep 50000; done
	zipf /tmp/redis "$2" "$3" "$4"
	status=$?
	echo "bench: need_kib $(awk '$1 == "VmHWM:" { print $2 }' /proc/$server/status)"
	kill -9 $server
	;;
sort)
	sort-records "$2"
	status=$?
	echo "bench: need_kib $(($2 * 1024))"
	;;
esac
exit $status
"""


def make_disk(target: Path) -> None:
    """Make it."""
    with first_disk(target, _WORK) as root:
        redis.copy_server(root)
        compile_static(HERE / "zipf.c", root / "usr" / "bin" / "zipf")
        compile_static(HERE / "sort.c", root / "usr" / "bin" / "sort-records")
