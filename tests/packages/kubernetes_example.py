"""The example for Kubernetes as data, and the Secret as docs/packages.md makes it."""

from typing import Any, Final

import yaml

from tests.docs.pages import DOCS, ROOT, blocks

FILE: Final = ROOT / "config/kubernetes/ramster.yaml"
OBJECTS: Final[dict[str, Any]] = {
    each["kind"]: each for each in yaml.safe_load_all(FILE.read_text())
}


def secret_command() -> str:
    """Return the commands among which is the one that makes the Secret."""
    shown = blocks((DOCS / "packages.md").read_text(), "sh")
    (command,) = [each for each in shown if "create secret" in each]
    return command


def init_command() -> list[str]:
    """Return the words of the command that makes the keys."""
    text = secret_command().replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if " cluster init " in line]
    return line.split()


def secret_files() -> dict[str, str]:
    """Return by the name in the Secret which file of `cluster init` it is."""
    words = [word for word in secret_command().split() if word.startswith("--from-file=")]
    pairs = [word.removeprefix("--from-file=").split("=") for word in words]
    return {words[0]: words[1] for words in pairs}
