"""`python -m packages.image.build FOLDER`: build the image of this tree into a folder."""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from packages.contents import install_programs, install_samples
from packages.deb import LIBRARIES_OF_EXTENSION, architecture
from packages.environment import has_extension
from packages.image.archive import archive_of_files, archive_of_tree
from packages.image.base import CannotBuild, make_base
from packages.image.oci import Layer, layout
from packages.release import release
from packages.tree import settle

EXECUTION: Final[dict[str, Any]] = {
    "Entrypoint": ["/usr/bin/ramsterd"],
    "Cmd": ["run"],
    "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"],
    "WorkingDir": "/",
    "StopSignal": "SIGTERM",
}
TITLE: Final = "ramster: pools the idle memory of a cluster"


def build(out: Path) -> Path:
    """Build the image; return its file in `out`.

    Raises:
        CannotBuild: This machine has not what an image is made of.
    """
    found = release()
    with tempfile.TemporaryDirectory(prefix="ramster-image-") as name:
        base, programs = Path(name) / "base", Path(name) / "programs"
        install_programs(programs)
        make_base(base, LIBRARIES_OF_EXTENSION if has_extension(programs) else ())
        install_samples(programs)
        settle(programs, found.epoch)
        layers = [
            Layer(archive=archive_of_tree(base, found.epoch), made_by="packages of Debian"),
            Layer(
                archive=archive_of_tree(programs, found.epoch), made_by=f"ramster {found.version}"
            ),
        ]
    files = layout(
        layers,
        architecture=architecture(),
        created=datetime.fromtimestamp(found.epoch, UTC).isoformat().replace("+00:00", "Z"),
        execution=EXECUTION,
        reference=f"ramster:{found.version}",
        annotations={
            "org.opencontainers.image.title": TITLE,
            "org.opencontainers.image.version": found.version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    )
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"ramster-{found.version}-{architecture()}.oci.tar"
    file.write_bytes(archive_of_files(files, found.epoch))
    return file


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
    except CannotBuild as error:
        sys.exit(f"packages.image.build: {error}")
