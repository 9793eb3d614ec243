"""All scenes by name: the module of one is imported only by the worker that opens it."""

import importlib
from typing import cast

from benchmarks.suite.works import Scene

SCENES = {
    "store": "benchmarks.store:scene",
    "nbd_passes": "benchmarks.nbd_passes:scene",
    "nbd_local": "benchmarks.nbd_local:scene",
    "nbd_local_real": "benchmarks.nbd_local:real_scene",
    "nbd_remote": "benchmarks.nbd_remote:scene",
    "nbd_remote_real": "benchmarks.nbd_remote:real_scene",
    "nbd_remote_tls": "benchmarks.nbd_remote:tls_scene",
    "swap": "benchmarks.swap:scene",
    "link": "benchmarks.link_bytes:scene",
    "link_real": "benchmarks.link_bytes:real_scene",
    "link_tls": "benchmarks.link_bytes:tls_scene",
    "far": "benchmarks.far:scene",
}


def find_scene(name: str) -> Scene:
    """Import it."""
    module, _, function = SCENES[name].partition(":")
    return cast("Scene", getattr(importlib.import_module(module), function))
