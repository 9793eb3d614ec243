"""An OCI image layout, judged by all that the specification requires (version 1.1)."""

import gzip
import hashlib
import json
from typing import Any


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """Return what a descriptor leads to, judged as who pulls it does."""
    assert set(descriptor) >= {"mediaType", "digest", "size"}
    kind, _, digest = descriptor["digest"].partition(":")
    found = files[f"blobs/{kind}/{digest}"]
    assert hashlib.sha256(found).hexdigest() == digest
    assert len(found) == descriptor["size"]
    return found


def judge(files: dict[str, bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """Return the configuration and the layers, by all that the specification requires (version 1.1)."""
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files["index.json"])
    assert index["schemaVersion"] == 2
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    (entry,) = index["manifests"]
    manifest = json.loads(blob(files, entry))
    assert manifest["schemaVersion"] == 2
    assert (
        entry["mediaType"] == manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    )
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    config = json.loads(blob(files, manifest["config"]))
    assert set(config) >= {"architecture", "os", "rootfs"}
    assert config["rootfs"]["type"] == "layers"
    layers = []
    for descriptor in manifest["layers"]:
        assert descriptor["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
        layers.append(gzip.decompress(blob(files, descriptor)))
    sums = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    assert config["rootfs"]["diff_ids"] == sums
    assert len(config["history"]) == len(layers)
    known = {"oci-layout", "index.json", f"blobs/{manifest['config']['digest'].replace(':', '/')}"}
    known |= {f"blobs/{each['digest'].replace(':', '/')}" for each in (entry, *manifest["layers"])}
    assert set(files) == known, "no blob that nobody leads to"
    return config, layers
