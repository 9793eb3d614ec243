"""The example for Kubernetes: its objects are ones, agree with each other, and with what ramster reads and needs."""

import copy
from pathlib import Path
from typing import Any, Final

import pytest

from config.endpoint import DEFAULT_PORT
from config.load import load_node
from config.machine import judge_memory
from config.memory import MemoryBound
from config.model import ClusterConfig, DaemonConfig
from config.reader import read_toml
from packages.image.base import USER_ID
from ramsterd import __version__
from tests.packages.kubernetes_example import OBJECTS, secret_command, secret_files
from tests.packages.kubernetes_schema import mistakes

POD: Final = OBJECTS["DaemonSet"]["spec"]["template"]["spec"]
(DAEMON,) = POD["containers"]
(FILES,) = POD["initContainers"]
NODES: Final = ("worker-1", "worker-2", "worker-3")
MEMORY: Final = MemoryBound(limit_bytes=6 << 30, name="memory.max of the pod", is_fatal=True)


def config_of(node: str) -> tuple[DaemonConfig, ClusterConfig]:
    """Return the two files of a node, as its pod reads them."""
    data = OBJECTS["ConfigMap"]["data"]
    folder = Path("/etc/ramster")
    daemon = read_toml(
        data[f"{node}.toml"].encode(), DaemonConfig, file=node, folder=folder, memory=MEMORY
    )
    cluster = read_toml(
        data["cluster.toml"].encode(), ClusterConfig, file="cluster.toml", folder=folder
    )
    return daemon, cluster


def mounts() -> dict[str, dict[str, Any]]:
    """Return by path what is mounted in the daemon's container: the volume."""
    volumes = {each["name"]: each for each in POD["volumes"]}
    return {each["mountPath"]: volumes[each["name"]] for each in DAEMON["volumeMounts"]}


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_has_the_fields_that_there_are(kind: str) -> None:
    assert mistakes(OBJECTS[kind]) == []


def test_a_mistake_in_an_object_would_be_seen() -> None:
    wrong = copy.deepcopy(OBJECTS["DaemonSet"])
    container = wrong["spec"]["template"]["spec"]["containers"][0]
    container["volumemounts"] = container.pop("volumeMounts")
    del container["image"]
    container["livenessProbe"]["exec"]["command"] = "ramsterctl status"
    path = "apps/v1/DaemonSet.spec.template.spec.containers[0]"
    assert mistakes(wrong) == [
        f"{path}.image: missing",
        f"{path}.livenessProbe.exec.command: a list is expected",
        f"{path}.volumemounts: no such field",
    ]
    assert mistakes({"kind": "Pod"}) == ["no object: apiVersion and kind are missing"]


def test_objects_find_each_other() -> None:
    name = OBJECTS["Namespace"]["metadata"]["name"]
    spaces = {each["metadata"].get("namespace", name) for each in OBJECTS.values()}
    assert spaces == {name}
    spec = OBJECTS["DaemonSet"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels == OBJECTS["Service"]["spec"]["selector"]
    volumes = {each["name"]: each for each in POD["volumes"]}
    assert volumes["config"]["configMap"]["name"] == OBJECTS["ConfigMap"]["metadata"]["name"]
    for container in (DAEMON, FILES):
        assert {each["name"] for each in container["volumeMounts"]} <= set(volumes)
        assert container["image"] == f"localhost/ramster:{__version__}"
    (port,) = OBJECTS["Service"]["spec"]["ports"]
    assert port["targetPort"] in {each["name"] for each in DAEMON["ports"]}
    assert OBJECTS["Service"]["spec"]["clusterIP"] == "None"


def test_a_pod_gets_the_files_of_its_node() -> None:
    (variable,) = DAEMON["env"]
    assert variable == FILES["env"][0]
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    file = f"$({variable['name']}).toml"
    assert DAEMON["args"] == ["run", "--config", f"/etc/ramster/{file}"]
    assert FILES["command"][2:] == ["/config/cluster.toml", f"/config/{file}", "/etc/ramster/"]
    assert set(OBJECTS["ConfigMap"]["data"]) == {
        "cluster.toml",
        *(f"{each}.toml" for each in NODES),
    }


@pytest.mark.parametrize("node", NODES)
def test_the_files_of_a_node_are_right(node: str, tmp_path: Path) -> None:
    for name, text in OBJECTS["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
    daemon, _, found = load_node(tmp_path / f"{node}.toml")
    assert (daemon.node, found.name) == (node, node)
    assert daemon.metrics.listen.startswith(f"{found.address}:")
    assert found.port == DEFAULT_PORT


@pytest.mark.parametrize("node", NODES)
def test_the_budget_follows_from_the_limit_and_leaves_room_for_the_rest(node: str) -> None:
    resources = DAEMON["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "6Gi"
    assert MEMORY.limit_bytes == 6 << 30
    daemon, _ = config_of(node)
    assert daemon.memory.budget > MEMORY.limit_bytes // 2
    assert list(judge_memory(daemon, (MEMORY,), "ramsterd.toml")) == []


@pytest.mark.parametrize("node", NODES)
def test_what_the_files_name_is_mounted(node: str) -> None:
    daemon, _ = config_of(node)
    found = mounts()
    assert daemon.tls is not None
    for path in (daemon.heartbeat_key, daemon.tls.ca, daemon.tls.certificate, daemon.tls.key):
        assert path is not None
        assert str(path.parent) == "/keys"
    assert found["/keys"]["secret"]["defaultMode"] == 0o400
    for path in (daemon.nbd.socket, daemon.control.socket):
        assert path is not None
        assert found[str(path.parent)]["hostPath"]["path"] == "/run/ramster"
    assert isinstance(daemon.memory.keep, Path)
    # A tmpfs.
    assert found[str(daemon.memory.keep.parent)]["hostPath"]["path"].startswith("/dev/shm/")
    assert found[str(daemon.state_dir)]["hostPath"]["path"] == "/var/lib/ramster"
    assert found[str(daemon.cluster.parent)]["name"] == "files"


def test_ports_are_those_of_the_files() -> None:
    daemon, _ = config_of(NODES[0])
    ports = {each["name"]: each for each in DAEMON["ports"]}
    assert {ports["link"]["protocol"], ports["heartbeat"]["protocol"]} == {"TCP", "UDP"}
    assert ports["link"]["containerPort"] == ports["heartbeat"]["containerPort"] == DEFAULT_PORT
    metrics = int(daemon.metrics.listen.rpartition(":")[2])
    (port,) = OBJECTS["Service"]["spec"]["ports"]
    assert metrics == port["port"] == ports["metrics"]["containerPort"]
    # On the network of the host a port is that of the host.
    assert POD["hostNetwork"] is True
    assert all(each["hostPort"] == each["containerPort"] for each in ports.values())


def test_the_daemon_has_two_rights_and_the_time_that_it_needs() -> None:
    context = DAEMON["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK", "SYS_RESOURCE"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["runAsGroup"] == USER_ID
    daemon, _ = config_of(NODES[0])
    assert POD["terminationGracePeriodSeconds"] > 2 * daemon.stop_seconds_max
    startup = DAEMON["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 600, (
        "as the unit's TimeoutStartSec"
    )
    assert DAEMON["livenessProbe"]["exec"]["command"] == ["ramsterctl", "status"]


def test_the_page_says_how_the_secret_is_made_that_the_files_name() -> None:
    wanted = set()
    for node in NODES:
        daemon, _ = config_of(node)
        assert daemon.tls is not None
        assert daemon.heartbeat_key is not None
        files = (daemon.heartbeat_key, daemon.tls.ca, daemon.tls.certificate, daemon.tls.key)
        wanted |= {each.name for each in files}
    assert set(secret_files()) == wanted
    volumes = {each["name"]: each for each in POD["volumes"]}
    assert f" {volumes['keys']['secret']['secretName']} " in secret_command()
