"""`ramsterctl cluster`: whole, private, and never over something that is there."""

import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from config.errors import ConfigError
from config.load import load_node
from config.model import TlsConfig
from net.certificates import Credentials, end_of, load_credentials
from ramsterd.cli.ramsterctl import main
from ramsterd.cli.ramsterd import main as daemon_main
from ramsterd.provision.node_folders import (
    CannotInit,
    NewNode,
    NodeSettings,
    init_cluster,
    parse_nodes,
)


def test_a_budget_may_be_a_part_of_the_memory_of_each_node(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert init(out, "--budget", "60%").exit_code == 0
    assert 'budget = "60%"' in (out / "a" / "ramsterd.toml").read_text()


def init(out: Path, *more: str, nodes: str = "a=10.0.0.1,b=10.0.0.2:7701") -> Result:
    arguments = ["cluster", "init", "--nodes", nodes, "--name", "rack7", "--out", str(out)]
    return CliRunner().invoke(main, [*arguments, *more])


def test_nodes_are_names_with_addresses() -> None:
    found = parse_nodes("a=10.0.0.1, b=10.0.0.2:81,c=::1,d=[::1]:82,e=[::2],f=host1,g=h.example:83")
    assert found == (
        NewNode(name="a", address="10.0.0.1", port=7700),
        NewNode(name="b", address="10.0.0.2", port=81),
        NewNode(name="c", address="::1", port=7700),
        NewNode(name="d", address="::1", port=82),
        NewNode(name="e", address="::2", port=7700),
        NewNode(name="f", address="host1", port=7700),
        NewNode(name="g", address="h.example", port=83),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a=",
        "a=b_c",
        "a=10.0.0.1:x",
        "a=10.0.0.1:123456",
        "a=1:²",
        "a=host1:0",
        "a=[host1]",
        "a=10.0.0",
        "a=[::1",
        "a=::1]:80",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(CannotInit, match="expected NAME=HOST"):
        parse_nodes(text)


def test_each_folder_is_ready_to_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = init(out, "--export", "swap0=16GiB", "--budget", "64MiB")
    assert result.exit_code == 0, result.output
    assert "    chown -R ramster: /etc/ramster\n    ramsterd check-config\n" in result.output
    assert {path.name for path in out.iterdir()} == {"a", "b", "ca"}
    for name in ("a", "b"):
        daemon, cluster, node = load_node(out / name / "ramsterd.toml")
        assert (node.name, cluster.name, len(cluster.node)) == (name, "rack7", 2)
        assert daemon.export[0].size == 16 << 30
        assert daemon.metrics.listen == "127.0.0.1:9750"
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
    assert "exists and is never overwritten" in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "nodes", "reason"),
    [
        (["--budget", "lots"], "a=10.0.0.1", "memory.budget: found 'lots'"),
        (["--export", "x=1"], "a=10.0.0.1", 'export 1 ("x"), line 26: size'),
        (["--export", "x"], "a=10.0.0.1", "expected NAME=SIZE"),
        ([], "a=10.0.0.1,a=10.0.0.2", "a"),
        (
            [],
            "a=10.0.0.1,b=10.0.0.2,c=10.0.0.1",
            (
                "--nodes: found 10.0.0.1:7700 for a and c, expected a host for each, or a port for each on one host, such as"
                " c=10.0.0.1:7710\n"
            ),
        ),
        ([], "a=Host1,b=host1.,c=HOST1,d=host1:7710", "found Host1:7700 for a, b and c, expected"),
        ([], "a=Host1,b=host1.,c=HOST1,d=host1:7710", "such as b=Host1:7720\n"),
        ([], "a=[::1]:65535,b=[0::1]:65535", "such as b=[::1]:7700\n"),
        ([], "../a=10.0.0.1", "found '../a', expected a name"),
        ([], "ca=10.0.0.1", "the folder of the CA"),
        ([], "A B=10.0.0.1", "name"),
        (["--export", 'x"=4096'], "a=10.0.0.1", "name: found 'x\"'"),
        (["--name", "Rack 7"], "a=10.0.0.1", "--name: name: found 'Rack 7'"),
    ],
)
def test_a_mistake_writes_nothing(tmp_path: Path, more: list[str], nodes: str, reason: str) -> None:
    result = init(tmp_path / "out", *more, nodes=nodes)
    assert result.exit_code == 1, result.output
    assert reason in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_nodes_of_one_host_come_with_a_warning_that_says_what_they_need(tmp_path: Path) -> None:
    result = init(tmp_path / "out", nodes="a=10.0.0.1,b=10.0.0.1:7710,c=10.0.0.2")
    assert result.exit_code == 0
    (warning,) = result.stderr.splitlines()
    assert warning.startswith(
        "warning: copies end together, and b does not start beside a: a and b"
    )
    assert init(tmp_path / "more").stderr == ""


def test_nodes_may_be_named_one_by_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert init(out, "--nodes", "c=10.0.0.3").exit_code == 0
    assert {path.name for path in out.iterdir()} == {"a", "b", "c", "ca"}


def run(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(main, ["cluster", *map(str, arguments)])
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_one_more_node_is_made_beside_the_others(tmp_path: Path) -> None:
    out = tmp_path / "rack7"
    assert init(out).exit_code == 0
    before = contents(out)
    text = run("add-node", "c=10.0.0.3:81", "--from", out, "--zone", "z1", "--budget", "2MiB")
    assert f"{out / 'c'}: copy to /etc/ramster on 10.0.0.3\n" in text
    line = "ramsterctl node add --number 3 --name c --address 10.0.0.3 --port 81 --zone z1\n"
    assert text.endswith(line)
    daemon, cluster, node = load_node(out / "c" / "ramsterd.toml")
    assert [each.name for each in cluster.node] == ["a", "b", "c"]
    assert (node.number, node.port, node.zone) == (3, 81, "z1")
    assert daemon.tls is not None
    assert load_credentials(daemon.tls, node="c", file="f").names == {"c"}
    for file in ("ca.pem", "heartbeat.key"):
        assert (out / "c" / file).read_bytes() == (out / "ca" / file).read_bytes()
    assert (out / "c" / "node.key").stat().st_mode & 0o777 == 0o600
    after = contents(out)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"ca/cluster.toml"}
    assert after["ca/cluster.toml"] == after["c/cluster.toml"]


def test_numbers_rise_and_a_file_of_a_member_counts_more_than_ours(tmp_path: Path) -> None:
    out = tmp_path / "rack7"
    assert init(out).exit_code == 0
    shutil.rmtree(out / "a")
    theirs = tmp_path / "cluster.toml"
    theirs.write_text((out / "b" / "cluster.toml").read_text().replace("number = 2", "number = 7"))
    text = run("add-node", "c=10.0.0.3", "--from", out / "ca", "--cluster", theirs)
    assert "--number 8 --name c" in text
    assert "number = 7" in (out / "ca" / "cluster.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["add-node", "b=10.0.0.9"], "found 'b' for number 3, which is the name of number 2 too"),
        (["add-node", "c=10.0.0.1"], "10.0.0.1:7700 for c, which is the address and port of a too"),
        (["add-node", "c=10.0.0.9", "--number", "2"], "2 for c, which is the number of b too"),
        (["add-node", "c=10.0.0.9", "--number", "1024"], "found 1024, expected 0 to 1023"),
        (["add-node", "ca=10.0.0.9"], "the folder of the CA"),
        (["add-node", "../c=10.0.0.9"], "found '../c'"),
        (["add-node", "c=10.0.0.9,d=10.0.0.8"], "found 2 nodes, expected one"),
        (["add-node", "c=10.0.0.9", "--budget", "1"], "c/ramsterd.toml: memory.budget"),
        (["add-node", "c=10.0.0.9", "--cluster", "/no/file"], "/no/file: found no such file"),
        (["renew", "--out", "OUT/new", "x"], "found 'x', expected one of a, b"),
        (["renew", "--out", "OUT/ca"], "exists and is never overwritten"),
    ],
)
def test_a_mistake_changes_nothing(tmp_path: Path, arguments: list[str], reason: str) -> None:
    out = tmp_path / "out"
    assert init(out).exit_code == 0
    before = contents(tmp_path)
    told = [each.replace("OUT", str(out)) for each in arguments]
    assert reason in run(*told, "--from", out, status=1)
    assert contents(tmp_path) == before
    assert {path.name for path in out.iterdir()} == {"a", "b", "ca"}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda ca: (ca / "ca.key").write_text("x"), "no usable ca.key and ca.pem"),
        (lambda ca: (ca / "heartbeat.key").unlink(), "heartbeat.key: No such file"),
        (lambda ca: (ca / "ca.pem").unlink(), "ca.pem: No such file"),
        (lambda ca: (ca / "cluster.toml").write_text("name = 1"), "cluster.toml: name: found 1"),
        (lambda ca: (ca / "cluster.toml").write_bytes(b"\xff"), "bytes that are not UTF-8"),
        (lambda ca: (ca / "ca.key").unlink(), "found no ca/ca.key"),
    ],
)
def test_a_spoilt_folder_of_the_ca_is_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    """Without its heartbeat key, too, nothing is made: another one would keep the new node unheard."""
    out = tmp_path / "out"
    assert init(out).exit_code == 0
    spoil(out / "ca")
    before = contents(tmp_path)
    text = run("add-node", "c=10.0.0.3", "--from", out, status=1)
    assert reason in text
    assert text.count("\n") == 1
    assert reason in run("renew", "--from", out, "--out", tmp_path / "new", status=1)
    assert contents(tmp_path) == before


def test_the_key_of_another_ca_is_found_out(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert init(tmp_path / name).exit_code == 0
    shutil.copy(tmp_path / "two" / "ca" / "ca.key", tmp_path / "one" / "ca" / "ca.key")
    text = run("add-node", "c=10.0.0.3", "--from", tmp_path / "one", status=1)
    assert "found a ca.key that is not of ca.pem" in text


def credentials_of(node: Path, name: str, ca: Path) -> Credentials:
    tls = TlsConfig(ca=ca, certificate=node / "node.pem", key=node / "node.key")
    return load_credentials(tls, node=name, file="f")


def test_certificates_are_renewed_by_the_same_ca(tmp_path: Path) -> None:
    out, new = tmp_path / "out", tmp_path / "new"
    assert init(out, "--days", "10").exit_code == 0
    before = contents(out)
    text = run("renew", "--from", out, "--out", new, "--days", "400")
    assert contents(out) == before
    assert text == (
        f"{new}/a: copy node.pem and node.key to /etc/ramster on a\n"
        f"{new}/b: copy node.pem and node.key to /etc/ramster on b\n"
        "then on each of these nodes:\n"
        "    chown ramster: /etc/ramster/node.pem /etc/ramster/node.key\n"
        "    systemctl reload ramsterd\n"
    )
    assert {path.name for path in new.iterdir()} == {"a", "b"}
    assert {path.name for path in (new / "a").iterdir()} == {"ca.pem", "node.pem", "node.key"}
    assert (new / "a" / "node.key").stat().st_mode & 0o777 == 0o600
    old = credentials_of(out / "a", "a", out / "ca" / "ca.pem")
    renewed = credentials_of(new / "a", "a", out / "ca" / "ca.pem")
    assert 389 < (renewed.expires_at - old.expires_at) / 86_400 < 391
    run("renew", "b", "--from", out / "ca", "--out", tmp_path / "one")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["b"]


def test_no_certificate_outlives_its_ca(tmp_path: Path) -> None:
    assert init(tmp_path / "out").exit_code == 0
    run("renew", "--from", tmp_path / "out", "--out", tmp_path / "new", "--days", "36500")
    renewed = credentials_of(tmp_path / "new" / "a", "a", tmp_path / "out" / "ca" / "ca.pem")
    (ca,) = renewed.client.get_ca_certs()
    assert renewed.expires_at == end_of(ca)


def test_a_ca_that_has_ended_signs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ramsterd.provision.ca.CA_DAYS_MIN", -1)
    monkeypatch.setattr("ramsterd.provision.node_folders._check", lambda *_: None)
    settings = NodeSettings(days=-1, budget="2MiB")
    nodes = parse_nodes("a=10.0.0.1")
    monkeypatch.setattr("ramsterd.provision.ca.BACKDATED", timedelta(days=2))
    init_cluster(name="r", nodes=nodes, out=tmp_path / "out", settings=settings)
    text = run("renew", "--from", tmp_path / "out", "--out", tmp_path / "new", status=1)
    assert "the CA ended on" in text


def test_a_new_ca_is_believed_beside_the_old_one(tmp_path: Path) -> None:
    """Each combination that a changeover goes through works: ca.pem first, then the certificates."""
    out, new = tmp_path / "out", tmp_path / "new"
    assert init(out).exit_code == 0
    told = run("renew", "--from", out, "--out", new, "--new-ca").splitlines()
    assert told[1] == "    chown ramster: /etc/ramster/ca.pem"
    assert told.count("    systemctl reload ramsterd") == 2
    both = new / "a" / "ca.pem"
    assert {path.name for path in (new / "ca").iterdir()} == {
        "README", "ca.key", "ca.pem", "cluster.toml", "heartbeat.key"
    }  # fmt: skip
    credentials_of(out / "a", "a", both)
    credentials_of(new / "a", "a", both)
    credentials_of(new / "a", "a", new / "ca" / "ca.pem")
    with pytest.raises(ConfigError, match="vouches for"):
        credentials_of(new / "a", "a", out / "ca" / "ca.pem")
    run("add-node", "c=10.0.0.3", "--from", new)
    credentials_of(new / "c", "c", new / "ca" / "ca.pem")


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    result = init(tmp_path / "out")
    assert result.exit_code == 1
    assert "pip install -c constraints.txt '.[tls]'" in result.output
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
