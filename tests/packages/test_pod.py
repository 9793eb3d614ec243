"""A pod of the example for Kubernetes, played: the image, the files of the example, the rights that its pod has.

What Kubernetes does is done by hand: an init container, volumes, and rights taken away before the daemon starts.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ramsterd.client.nbd import NbdClient
from tests.helpers.roots import ADDRESS, Root
from tests.packages.kubernetes_example import OBJECTS, init_command, secret_files
from tests.system.daemons import wait_until

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.root]

NODE: Final = "worker-1"
POD: Final = OBJECTS["DaemonSet"]["spec"]["template"]["spec"]
DATA: Final = bytes(range(256)) * 4096
# <linux/capability.h>
CAPABILITIES: Final = {"IPC_LOCK": 14, "SYS_RESOURCE": 24}
# Takes all rights away but some, and a group too, and becomes a program: what a container runtime does.
BECOME: Final = """\
import ctypes, os, sys
kept, group, *command = sys.argv[1:]
PR_CAPBSET_DROP = 24
for number in range(64):
    if str(number) not in kept.split(","):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, number)
os.setgroups([])
os.setgid(int(group))
os.execvp(command[0], command)
"""


def given(words: list[str]) -> list[str]:
    return [word.replace("$(NODE_NAME)", NODE) for word in words]


@pytest.fixture
def pod(unpacked: Path) -> Iterator[Root]:
    """Yield what a pod is before its containers start."""
    with Root(unpacked, tmpfs="kept") as root:
        root.type("sh", "-c", f"mkdir /config /keys && cd /tmp && {' '.join(init_command())}")
        for name, text in OBJECTS["ConfigMap"]["data"].items():
            (unpacked / "config" / name).write_text(text)
        for name, place in secret_files().items():
            target = unpacked / "keys" / name
            target.write_bytes((unpacked / "tmp" / place).read_bytes())
            target.chmod(POD["volumes"][2]["secret"]["defaultMode"])
        yield root


def start(root: Root, container: dict[str, object], command: list[str]) -> subprocess.Popen[str]:
    """Start a container with its rights."""
    context = container["securityContext"]
    assert isinstance(context, dict)
    assert context["runAsUser"] == 0
    kept = [str(CAPABILITIES[name]) for name in context["capabilities"].get("add", [])]
    become = ("python3", "-c", BECOME, ",".join(kept), str(context["runAsGroup"]))
    with log_of(root).open("a") as log:
        return subprocess.Popen(
            root.inside(*become, *given(command)),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True,
        )  # fmt: skip


def log_of(root: Root) -> Path:
    return root.folder.with_suffix(".log")


def initialize(root: Root) -> None:
    (container,) = POD["initContainers"]
    process = start(root, container, container["command"])
    assert process.wait(60) == 0, log_of(root).read_text()


def child_of(process: subprocess.Popen[str]) -> int:
    """Return the program inside: the process of ours has entered the namespaces and waits for it."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


@contextmanager
def daemon(root: Root) -> Iterator[subprocess.Popen[str]]:
    (container,) = POD["containers"]
    process = start(root, container, ["ramsterd", *container["args"]])
    probe = container["livenessProbe"]["exec"]["command"]
    try:
        wait_until(
            lambda: root.run(*probe).returncode == 0 or process.poll() is not None,
            "the daemon answers",
            seconds_max=60.0,
        )
        assert process.poll() is None, log_of(root).read_text()
        yield process
    finally:
        if process.poll() is None:
            os.kill(child_of(process), signal.SIGKILL)
        process.wait()


def test_the_files_of_a_pod_are_right(pod: Root) -> None:
    initialize(pod)
    file = f"/etc/ramster/{NODE}.toml"
    checked = pod.type("ramsterd", "check-config", "--config", file)
    assert f"node {NODE} (1) at {ADDRESS}:7700" in checked
    assert "links: TLS 1.3" in checked


def test_the_next_pod_has_the_pages_of_the_one_before(pod: Root) -> None:
    """A rollout: SIGTERM, and a new pod with the same volumes of the host."""
    initialize(pod)
    socket = pod.folder / "run/ramster/nbd.sock"
    with daemon(pod) as process:
        with NbdClient.connect(socket, "disk0") as client:
            client.write(0, DATA)
        status = pod.type("ramsterctl", "status")
        assert "memory is locked" in status
        assert socket.stat().st_gid == POD["containers"][0]["securityContext"]["runAsGroup"]
        os.kill(child_of(process), signal.SIGTERM)
        assert process.wait(POD["terminationGracePeriodSeconds"]) == 0
    for path in (pod.folder / "etc/ramster").iterdir():
        path.unlink()
    initialize(pod)
    with daemon(pod), NbdClient.connect(socket, "disk0") as client:
        assert client.read(0, len(DATA)) == DATA
