"""`ramsterctl cluster init`: whole, private, and never over something that is there."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from config.load import load_node
from net.certificates import load_credentials
from ramsterd.cli import main as daemon_main
from ramsterd.ctl import main
from ramsterd.initial import CannotInit, NewNode, parse_nodes


def init(out: Path, *more: str, nodes: str = "a=10.0.0.1,b=10.0.0.2:7701") -> Result:
    arguments = ["cluster", "init", "--nodes", nodes, "--name", "rack7", "--out", str(out)]
    return CliRunner().invoke(main, [*arguments, *more])


def test_nodes_are_names_with_addresses() -> None:
    assert parse_nodes("a=10.0.0.1, b=10.0.0.2:81,c=::1,d=[::1]:82,e=[::2]") == (
        NewNode(name="a", address="10.0.0.1", port=7700),
        NewNode(name="b", address="10.0.0.2", port=81),
        NewNode(name="c", address="::1", port=7700),
        NewNode(name="d", address="::1", port=82),
        NewNode(name="e", address="::2", port=7700),
    )


@pytest.mark.parametrize(
    "text", ["", "a", "a=", "a=b", "a=10.0.0.1:x", "a=10.0.0.1:123456", "a=1:²"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(CannotInit, match="expected NAME=ADDRESS"):
        parse_nodes(text)


def test_each_folder_is_ready_to_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = init(out, "--export", "swap0=16GiB", "--budget", "64MiB")
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {"a", "b", "ca"}
    for name in ("a", "b"):
        daemon, cluster, node = load_node(out / name / "ramsterd.toml")
        assert (node.name, cluster.name, len(cluster.node)) == (name, "rack7", 2)
        assert daemon.export[0].size == 16 << 30
        assert daemon.tls is not None
        assert load_credentials(daemon.tls, node=name, file="f").names == {name}
        key = out / name / "heartbeat.key"
        assert len(bytes.fromhex(key.read_text())) == 32
        assert key.read_text() == (out / "ca" / "heartbeat.key").read_text()
    private = [*out.rglob("*.key")]
    assert len(private) == 6
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert not (out / "a" / "ca.key").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing half made stays"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    result = init(tmp_path)
    assert result.exit_code == 1
    assert "exists; nothing is overwritten" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "nodes", "reason"),
    [
        (["--budget", "lots"], "a=10.0.0.1", "memory.budget: found 'lots'"),
        (["--export", "x=1"], "a=10.0.0.1", "export[0].size"),
        (["--export", "x"], "a=10.0.0.1", "expected NAME=SIZE"),
        ([], "a=10.0.0.1,a=10.0.0.2", "a"),
        ([], "../a=10.0.0.1", "expected a-z"),
        ([], "ca=10.0.0.1", "the folder of the CA"),
        ([], "A B=10.0.0.1", "name"),
        (["--ca", "/nowhere"], "a=10.0.0.1", "no usable ca.key"),
    ],
)
def test_a_mistake_writes_nothing(tmp_path: Path, more: list[str], nodes: str, reason: str) -> None:
    result = init(tmp_path / "out", *more, nodes=nodes)
    assert result.exit_code == 1, result.output
    assert reason in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_an_earlier_ca_signs_again(tmp_path: Path) -> None:
    assert init(tmp_path / "one").exit_code == 0
    ca = tmp_path / "one" / "ca"
    result = init(tmp_path / "two", "--ca", str(ca), nodes="a=10.0.0.1,b=10.0.0.2,c=10.0.0.3")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"a", "b", "c"}
    for file in ("ca.pem", "heartbeat.key"):
        assert (tmp_path / "two" / "c" / file).read_bytes() == (ca / file).read_bytes()


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    result = init(tmp_path / "out")
    assert result.exit_code == 1
    assert "pip install 'ramster[tls]'" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_the_daemon_refuses_the_files_of_another_node(tmp_path: Path, command: str) -> None:
    assert init(tmp_path / "out").exit_code == 0
    a, b = tmp_path / "out" / "a", tmp_path / "out" / "b"
    for name in ("node.pem", "node.key"):
        (a / name).write_bytes((b / name).read_bytes())
    result = CliRunner().invoke(daemon_main, [command, "--config", str(a / "ramsterd.toml")])
    assert result.exit_code == 78
    assert result.output == (
        f"ramsterd: {a}/ramsterd.toml: tls.certificate: found {a}/node.pem for b,"
        " expected one for a, the name of this node\n"
    )
