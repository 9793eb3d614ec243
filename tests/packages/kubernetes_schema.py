"""What Kubernetes takes of the objects that our example has: which fields there are, and which there must be.

From its API reference, as far as the example goes.  Like the server's strict validation, a field that is
not known is a mistake.
"""

from collections.abc import Iterator
from typing import Any, Final

# A field is text, number, flag or text with a meaning (None), one of these types ("Name"), a list of one ("[Name]"), a list
# of values ("[]"), or a table of values ("{}").  One that must be there ends in "!".
TYPES: Final[dict[str, dict[str, str | None]]] = {
    "v1/Namespace": {"apiVersion!": None, "kind!": None, "metadata!": "Metadata"},
    "v1/ConfigMap": {"apiVersion!": None, "kind!": None, "metadata!": "Metadata", "data": "{}"},
    "v1/Service": {"apiVersion!": None, "kind!": None, "metadata!": "Metadata", "spec!": "ServiceSpec"},
    "apps/v1/DaemonSet": {"apiVersion!": None, "kind!": None, "metadata!": "Metadata", "spec!": "DaemonSetSpec"},
    "Metadata": {"name!": None, "namespace": None, "labels": "{}", "annotations": "{}"},
    "ServiceSpec": {
        "clusterIP": None, "publishNotReadyAddresses": None, "selector": "{}", "ports!": "[ServicePort]",
    },
    "ServicePort": {"name": None, "port!": None, "targetPort": None, "protocol": None},
    "DaemonSetSpec": {
        "selector!": "Selector", "template!": "Template", "minReadySeconds": None, "updateStrategy": "Strategy",
    },
    "Selector": {"matchLabels": "{}"},
    "Strategy": {"type": None, "rollingUpdate": "RollingUpdate"},
    "RollingUpdate": {"maxUnavailable": None, "maxSurge": None},
    "Template": {"metadata!": "TemplateMetadata", "spec!": "PodSpec"},
    "TemplateMetadata": {"labels!": "{}", "annotations": "{}"},
    "PodSpec": {
        "nodeSelector": "{}", "tolerations": "[Toleration]", "priorityClassName": None, "hostNetwork": None,
        "dnsPolicy": None, "automountServiceAccountToken": None, "terminationGracePeriodSeconds": None,
        "initContainers": "[Container]", "containers!": "[Container]", "volumes": "[Volume]",
    },
    "Toleration": {"key": None, "operator": None, "value": None, "effect": None},
    "Container": {
        "name!": None, "image!": None, "imagePullPolicy": None, "command": "[]", "args": "[]", "env": "[Variable]",
        "ports": "[ContainerPort]", "securityContext": "SecurityContext", "resources": "Resources",
        "startupProbe": "Probe", "livenessProbe": "Probe", "readinessProbe": "Probe", "volumeMounts": "[Mount]",
    },
    "Variable": {"name!": None, "value": None, "valueFrom": "Source"},
    "Source": {"fieldRef": "FieldRef"},
    "FieldRef": {"fieldPath!": None},
    "ContainerPort": {"name": None, "containerPort!": None, "hostPort": None, "protocol": None},
    "SecurityContext": {
        "runAsUser": None, "runAsGroup": None, "readOnlyRootFilesystem": None, "allowPrivilegeEscalation": None,
        "seccompProfile": "Seccomp", "capabilities": "Capabilities",
    },
    "Seccomp": {"type!": None},
    "Capabilities": {"drop": "[]", "add": "[]"},
    "Resources": {"requests": "{}", "limits": "{}"},
    "Probe": {
        "exec": "Exec", "periodSeconds": None, "timeoutSeconds": None, "failureThreshold": None,
        "initialDelaySeconds": None,
    },
    "Exec": {"command!": "[]"},
    "Mount": {"name!": None, "mountPath!": None, "readOnly": None},
    "Volume": {
        "name!": None, "configMap": "ConfigMapVolume", "secret": "SecretVolume", "hostPath": "HostPath", "emptyDir": "EmptyDir",
    },
    "ConfigMapVolume": {"name!": None, "defaultMode": None},
    "SecretVolume": {"secretName!": None, "defaultMode": None},
    "HostPath": {"path!": None, "type": None},
    "EmptyDir": {"medium": None, "sizeLimit": None},
}  # fmt: skip


def mistakes(found: Any) -> list[str]:
    """Return what is wrong with an object, each with the path of its field."""
    if not isinstance(found, dict) or not {"apiVersion", "kind"} <= set(found):
        return ["no object: apiVersion and kind are missing"]
    name = f"{found['apiVersion']}/{found['kind']}"
    return list(_judge(found, name, name)) if name in TYPES else [f"{name}: no such kind"]


def _judge(found: Any, kind: str | None, path: str) -> Iterator[str]:
    if kind is None:
        if isinstance(found, dict | list):
            yield f"{path}: a value is expected"
    elif kind == "{}":
        if not isinstance(found, dict) or not all(
            isinstance(each, str | int) for each in found.values()
        ):
            yield f"{path}: a table of values is expected"
    elif kind.startswith("["):
        if not isinstance(found, list) or not found:
            yield f"{path}: a list is expected"
            return
        for number, each in enumerate(found):
            yield from _judge(each, kind[1:-1] or None, f"{path}[{number}]")
    elif not isinstance(found, dict):
        yield f"{path}: a table is expected"
    else:
        yield from _judge_fields(found, kind, path)


def _judge_fields(found: dict[str, Any], kind: str, path: str) -> Iterator[str]:
    fields = {name.rstrip("!"): inner for name, inner in TYPES[kind].items()}
    for name in TYPES[kind]:
        if name.endswith("!") and name[:-1] not in found:
            yield f"{path}.{name[:-1]}: missing"
    for name, value in found.items():
        if name not in fields:
            yield f"{path}.{name}: no such field"
        else:
            yield from _judge(value, fields[name], f"{path}.{name}")
