"""What the README shows must be true; what only a person can judge is not here."""

import re
from pathlib import Path

import pytest

from config.load import load_node

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_its_configuration_is_accepted(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```toml\n# (\S+\.toml).*?\n(.*?)```", text, re.DOTALL)
    for name, block in blocks:
        (tmp_path / name).write_text(block)
    daemon, cluster, node = load_node(tmp_path / "ramsterd.toml")
    assert (node.name, len(cluster.node), len(daemon.export)) == ("alpha", 2, 1)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert "://" in target or (document.parent / target).exists(), target


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z]+)[`\s]", (ROOT / "README.md").read_text()):
        if target != "alone":
            assert f"\n{target}:" in makefile, target
