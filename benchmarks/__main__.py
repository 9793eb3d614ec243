"""All benchmarks, from the inside out.

    python -m benchmarks [--rounds 5] [--only NAME] [--quick]

About twenty minutes on two quiet cores, most of them for `failover` and `stalls`.  The figures of --quick mean nothing: it shows that everything runs.
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
    polling,
    restart,
    scale,
    stalls,
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
    "scale": scale.run,
    "polling": polling.run,
    "attach": attach.run,
    "restart": restart.run,
    "client_ends": client_ends.run,
    "heartbeat": heartbeat.run,
    "failover": failover.run,
    "stalls": stalls.run,
}

if __name__ == "__main__":
    harness.run_main(BENCHMARKS, __doc__)
