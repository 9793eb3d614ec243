"""An image as the OCI image specification (version 1.1) lays it out: blobs by their sums, and an index.  Pure.

https://github.com/opencontainers/image-spec: config.md, manifest.md, image-index.md, image-layout.md.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
# Between the least time and the least size.
_COMPRESSION: Final = 6
# How Go, and so the specification, calls the kinds of machines of Debian.
_ARCHITECTURES: Final = {"amd64": "amd64", "arm64": "arm64", "armhf": "arm", "i386": "386"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Files that are laid over those of the layers before."""

    # An uncompressed tar archive.
    archive: bytes
    # What made it, for people.
    made_by: str


def layout(
    layers: Iterable[Layer],
    *,
    architecture: str,
    created: str,
    execution: dict[str, Any],
    reference: str,
    annotations: dict[str, str],
) -> dict[str, bytes]:
    """Return the files of a layout, by their paths.

    Args:
        layers: From the lowest up.
        architecture: As Debian calls it.
        created: A time, as RFC 3339 writes it.
        execution: How a container is started: the object `config` of the configuration.
        reference: The name of the image, as `name:tag`.
        annotations: What is said of the image.
    """
    layers = list(layers)
    files: dict[str, bytes] = {}
    config = {
        "created": created,
        "architecture": _ARCHITECTURES.get(architecture, architecture),
        "os": "linux",
        "config": execution,
        "rootfs": {"type": "layers", "diff_ids": [_sum(each.archive) for each in layers]},
        "history": [{"created": created, "created_by": each.made_by} for each in layers],
    }
    packed = [gzip.compress(each.archive, _COMPRESSION, mtime=0) for each in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _add(files, _json(config), _CONFIG),
        "layers": [_add(files, each, _LAYER) for each in packed],
        "annotations": annotations,
    }
    entry = _add(files, _json(manifest), _MANIFEST)
    name, _, tag = reference.rpartition(":")
    # The tag for tools of the specification, the name for containerd, which asks for a whole one.
    entry["annotations"] = {
        "org.opencontainers.image.ref.name": tag,
        "io.containerd.image.name": f"localhost/{name}:{tag}",
    }
    files["index.json"] = _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]})
    files["oci-layout"] = _json({"imageLayoutVersion": "1.0.0"})
    return files


def _add(files: dict[str, bytes], blob: bytes, media_type: str) -> dict[str, Any]:
    """Put a blob where its sum says, and return its descriptor."""
    digest = _sum(blob)
    files[f"blobs/{digest.replace(':', '/')}"] = blob
    return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _sum(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"
