"""All benchmarks, from the inside out.

    python -m benchmarks [--rounds 5] [--only NAME] [--quick]

About thirteen minutes on two quiet cores, half of them for `failover`.  The figures of --quick mean nothing: it shows that everything runs.
"""

from benchmarks import (
    attach,
    client_ends,
    failover,
    harness,
    heartbeat,
    link_bytes,
    memory,
    nbd_local,
    nbd_passes,
    nbd_remote,
    passes,
    restart,
    store,
    tmem,
)

BENCHMARKS: dict[str, harness.Benchmark] = {
    "store": store.run,
    "tmem": tmem.run,
    "nbd_passes": nbd_passes.run,
    "nbd_local": nbd_local.run,
    "nbd_remote": nbd_remote.run,
    "link_bytes": link_bytes.run,
    "memory": memory.run,
    "passes": passes.run,
    "attach": attach.run,
    "restart": restart.run,
    "client_ends": client_ends.run,
    "heartbeat": heartbeat.run,
    "failover": failover.run,
}

if __name__ == "__main__":
    harness.run_main(BENCHMARKS, __doc__)
