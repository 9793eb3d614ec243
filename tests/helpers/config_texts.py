"""Small valid configuration files for tests to change."""

from pathlib import Path

CLUSTER = """\
name = "lab"
[[node]]
number = 1
name = "alpha"
address = "127.0.0.1"
port = 7701
[[node]]
number = 2
name = "beta"
address = "127.0.0.1"
port = 7702
"""

DAEMON = """\
node = "alpha"
cluster = "cluster.toml"
[memory]
budget = "8MiB"
[[export]]
name = "swap0"
size = "1MiB"
[[export]]
name = "disk1"
size = 4096
"""

SAMPLES = Path(__file__).parents[2] / "config" / "samples"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path
