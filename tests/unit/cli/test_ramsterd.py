import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner, Result

from config import host
from ramsterd.cli.ramsterd import main
from ramsterd.kept.layout import layout_name
from ramsterd.statefile.folder import StateFolder
from tests.helpers.config_texts import CLUSTER, DAEMON, write


def check_config(folder: Path, more: str, *options: str) -> Result:
    write(folder, "cluster.toml", CLUSTER)
    daemon = DAEMON.replace('[memory]\nbudget = "8MiB"\n', "") if "[memory]" in more else DAEMON
    path = write(folder, "ramsterd.toml", daemon + more)
    return CliRunner().invoke(main, ["check-config", "--config", str(path), *options])


def test_check_config_warns_of_what_is_hardly_meant(tmp_path: Path) -> None:
    result = check_config(tmp_path, "")
    assert result.exit_code == 0
    warning = f"{tmp_path}/ramsterd.toml: warning: found 2 [[export]] and no endpoint for clients"
    assert warning in result.stderr
    assert "warning" not in result.stdout


def test_more_copies_than_peers_keep_no_node_from_starting(tmp_path: Path) -> None:
    result = check_config(tmp_path, "[remote]\ncopies = 3\n")
    assert result.exit_code == 0
    assert "warning: remote.copies: found 3, expected at most 1" in result.stderr


def test_check_config_warns_of_what_this_machine_can_not_give(tmp_path: Path) -> None:
    result = check_config(tmp_path, '[control]\nsocket = "run/c"\n')
    assert result.exit_code == 0
    assert f"warning: control.socket: found no folder {tmp_path}/run" in result.stderr


def test_check_config_compares_endpoints_with_the_links(tmp_path: Path) -> None:
    result = check_config(tmp_path, '[metrics]\nlisten = "127.0.0.1:7701"\n')
    assert result.exit_code == 78
    assert result.output == (
        f"ramsterd: {tmp_path}/ramsterd.toml: metrics.listen: found '127.0.0.1:7701', which is address and port"
        " of node alpha in cluster.toml, expected an address and port used once\n"
    )


def test_check_config_imports_all_that_a_start_imports(tmp_path: Path) -> None:
    """A library that is missing must be found by the check of a restart, and not by the next program."""
    write(tmp_path, "cluster.toml", CLUSTER)
    path = write(tmp_path, "ramsterd.toml", DAEMON)
    script = (
        "import sys\n"
        "from ramsterd.cli.ramsterd import main\n"
        "main(['check-config', '--config', sys.argv[1]], standalone_mode=False)\n"
        "assert {'ramsterd.cli.serving', 'ramsterd.daemon'} <= sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


HASH = layout_name().partition("-")[2]


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (f"2-{HASH}", "is of a newer release: layout 2, expected 1"),
        (f"1-{'0' * 16}", f"is of another build: layout hash 0x0, expected {int(HASH, 16):#x}"),
    ],
)
def test_check_config_refuses_a_program_that_does_not_read_the_pages(
    tmp_path: Path, layout: str, said: str
) -> None:
    result = check_config(tmp_path, "", "--layout", layout)
    assert result.exit_code == 78
    assert result.output == (
        f"ramsterd: this program can't go on with the pages of the running one: the kept memory {said}\n"
    )


def test_check_config_knows_the_layout_of_its_own_release(tmp_path: Path) -> None:
    assert check_config(tmp_path, "", "--layout", layout_name()).exit_code == 0
    result = check_config(tmp_path, "", "--layout", "1")
    assert result.exit_code == 2
    assert "found '1', expected the name of a layout, such as 1-" in result.stderr


def test_check_config_refuses_a_keeper_to_which_pages_can_not_move(tmp_path: Path) -> None:
    assert check_config(tmp_path, "", "--keeper", "systemd").exit_code == 0
    result = check_config(tmp_path, "", "--keeper", "/mnt/pages")
    assert result.exit_code == 78
    assert result.stderr.endswith(
        f"ramsterd: {tmp_path}/ramsterd.toml: memory.keep: found auto, but the pages of the running daemon are kept by"
        " /mnt/pages, and can't move to another keeper: set keep as it was; or to change it, type"
        " `ramsterctl stop --forget`, which ends these pages, and start ramsterd\n"
    )


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (("old", "1", "alpha"), "is of another cluster: 'old', expected 'lab'"),
        (
            ("lab", "9", "gamma"),
            "is of another node: 'gamma' (number 9), expected 'alpha' (number 1)",
        ),
    ],
)
def test_check_config_refuses_to_be_another_node_than_the_pages_belong_to(
    tmp_path: Path, owner: tuple[str, str, str], said: str
) -> None:
    result = check_config(tmp_path, "", "--owner", *owner)
    assert result.exit_code == 78
    assert result.stderr.endswith(
        f"ramsterd: {tmp_path}/cluster.toml: the kept memory {said}: set it as it was; or to change it, type"
        " `ramsterctl stop --forget`, which ends these pages, and start ramsterd\n"
    )


def test_a_node_with_another_name_has_its_pages(tmp_path: Path) -> None:
    assert check_config(tmp_path, "", "--owner", "lab", "1", "old-name").exit_code == 0


def test_check_config_tells_which_addresses_the_next_start_would_not_get(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        more = f'[metrics]\nlisten = "{place}"\n'
        links = ("--holds", "address", "127.0.0.1:7701")
        assert check_config(tmp_path, more).exit_code == 0
        result = check_config(tmp_path, more, *links)
        assert result.exit_code == 1
        assert (
            f"ramsterd: can't serve metrics at {place} (metrics.listen): Address already"
            in result.stderr
        )
        holds = (*links, "--holds", "metrics.listen", place)
        assert check_config(tmp_path, more, *holds).exit_code == 0


def test_check_config_says_what_an_address_is(tmp_path: Path) -> None:
    result = check_config(tmp_path, "", "--holds", "address", "7701")
    assert result.exit_code == 2
    assert "--holds" in result.stderr


def test_a_budget_may_be_a_part_of_the_memory(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    path = write(tmp_path, "ramsterd.toml", DAEMON.replace('"8MiB"', '"1%"'))
    result = CliRunner().invoke(main, ["check-config", "--config", str(path)])
    assert result.exit_code == 0, result.output
    assert re.search(
        r"^budget [0-9.]+ .iB \(1% of .*\), exports: swap0", result.stdout, re.MULTILINE
    )
    assert re.search(r"^memory: [0-9.]+ .iB, the memory|memory\.", result.stdout, re.MULTILINE)


def test_check_config_says_whether_the_daemon_locks_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(lock: str, *options: str) -> Result:
        return check_config(tmp_path, f'[memory]\nbudget = "8MiB"\nlock = "{lock}"\n', *options)

    monkeypatch.setattr(host, "read_lock_limit", lambda _: None)
    assert "\nlocked memory: all of the daemon\n" in check("auto").stdout
    monkeypatch.setattr(host, "read_lock_limit", lambda _: 8 << 20)
    result = check("auto")
    assert "\nlocked memory: none, because this command may lock 8 MiB at most\n" in result.stdout
    assert "memory.lock" not in result.stderr
    result = check("no")
    assert "\nlocked memory: none ([memory] lock)\n" in result.stdout
    result = check("yes")
    assert result.exit_code == 0, "the unit may allow more than this command has"
    text = (
        "memory.lock: found 'yes', and at most 8 MiB may be locked (RLIMIT_MEMLOCK), expected no limit: set"
        " LimitMEMLOCK=infinity in the unit, or type `ulimit -l unlimited` as root before ramsterd\n"
    )
    assert f"ramsterd.toml: warning: {text}" in result.stderr
    # A daemon asks whether the next program of its process would start: that has the same limit.
    result = check("yes", "--layout", layout_name())
    assert result.exit_code == 78
    assert result.stderr.endswith(f"ramsterd.toml: {text}")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that every user can enter; the parents of `tmp_path` are for its owner alone."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give a file to somebody else")
def test_root_judges_what_another_user_may_read(open_path: Path) -> None:
    """As root everything can be read; the daemon of the unit is not root."""
    result = check_config(open_path, "")
    path = open_path / "ramsterd.toml"
    path.write_text('state_dir = ""\n' + path.read_text())
    assert result.exit_code == 0
    assert "user root can read these files" in result.stdout
    (open_path / "cluster.toml").chmod(0o600)
    command = ["check-config", "--config", str(open_path / "ramsterd.toml")]
    result = CliRunner().invoke(main, [*command, "--user", "nobody"])
    assert result.exit_code == 78
    assert result.stderr == (
        f"ramsterd: {open_path}/ramsterd.toml: cluster: found {open_path}/cluster.toml (root:root, mode 0600),"
        " which user nobody can't read, expected a file that user nobody can read\n"
    )
    # The owner of the folder is whom the daemon runs as, where nobody says otherwise.
    os.chown(open_path, 65534, -1)
    assert CliRunner().invoke(main, command).stderr == result.stderr
    os.chown(open_path / "cluster.toml", 65534, -1)
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.stderr
    assert "user nobody can read these files" in result.stdout
    os.chown(open_path, 0, -1)
    result = CliRunner().invoke(main, [*command, "--user", "65534"])
    assert result.exit_code == 0
    assert (
        f"{open_path}/cluster.toml: warning: found folder {open_path} (root:root, mode 0755),"
        in (result.stderr)
    )


def test_a_user_that_nobody_knows_is_wrong_usage(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    path = write(tmp_path, "ramsterd.toml", DAEMON)
    command = ["check-config", "--config", str(path), "--user", "no.such.user"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "found 'no.such.user', expected the name or id of a user" in result.stderr


def test_an_address_that_no_interface_has_is_found_before_the_start(tmp_path: Path) -> None:
    text = "insecure_plaintext = true\n" + CLUSTER.replace("127.0.0.1", "192.0.2.1", 1)
    write(tmp_path, "cluster.toml", text)
    path = write(tmp_path, "ramsterd.toml", DAEMON)
    for command in ("check-config", "run"):
        result = CliRunner().invoke(main, [command, "--config", str(path)])
        assert result.exit_code == 78
        assert result.stderr == (
            f"ramsterd: {tmp_path}/cluster.toml: node 1 (\"alpha\"), line 6: address: found '192.0.2.1' (cannot assign requested"
            " address), expected an address of an interface of this machine\n"
        )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("fe80::1", "the interface behind a link-local address, such as 'fe80::1%eth0'"),
        ("fd00::1%eth0", "no zone behind '%': only a link-local address (fe80::/10) has one"),
        ("fe80::1%1", "the name of an interface behind '%', such as 'fe80::1%eth0'"),
    ],
)
def test_a_link_local_address_has_a_zone_and_no_other_has(
    tmp_path: Path, address: str, expected: str
) -> None:
    text = "insecure_plaintext = true\n" + CLUSTER.replace("127.0.0.1", address, 1)
    write(tmp_path, "cluster.toml", text)
    path = write(tmp_path, "ramsterd.toml", DAEMON)
    result = CliRunner().invoke(main, ["check-config", "--config", str(path)])
    assert result.exit_code == 78
    assert result.stderr == (
        f"ramsterd: {tmp_path}/cluster.toml: node 1 (\"alpha\"), line 6: address: found '{address}',"
        f" expected {expected}\n"
    )


def test_a_zone_that_is_no_interface_of_this_machine_is_an_error(tmp_path: Path) -> None:
    text = CLUSTER.replace("127.0.0.1", "fe80::1%nowhere0", 1)
    write(tmp_path, "cluster.toml", "insecure_plaintext = true\n" + text)
    path = write(tmp_path, "ramsterd.toml", DAEMON)
    result = CliRunner().invoke(main, ["check-config", "--config", str(path)])
    assert result.exit_code == 78
    assert "'fe80::1%nowhere0' (this machine has no interface nowhere0)" in result.stderr


def test_a_folder_of_sockets_that_is_missing_ends_the_start_in_the_same_words(
    tmp_path: Path,
) -> None:
    result = check_config(tmp_path, '[control]\nsocket = "run/c"\n')
    warning = f"control.socket: found no folder {tmp_path}/run, expected a folder when"
    assert f"warning: {warning}" in result.stderr
    command = ["run", "--config", str(tmp_path / "ramsterd.toml")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 78
    assert f"ramsterd: {tmp_path}/ramsterd.toml: {warning}" in result.stderr


def with_state(folder: Path, command: str, state_dir: str) -> Result:
    write(folder, "cluster.toml", CLUSTER)
    path = write(folder, "ramsterd.toml", f'state_dir = "{state_dir}"\n{DAEMON}')
    return CliRunner().invoke(main, [command, "--config", str(path)])


def test_check_config_warns_where_a_restart_would_serve_zeros(tmp_path: Path) -> None:
    result = with_state(tmp_path, "check-config", "")
    assert result.exit_code == 0
    assert 'warning: state_dir: found "", expected a folder' in result.stderr
    assert "state_dir" not in with_state(tmp_path, "check-config", "state").stderr


def test_a_damaged_state_file_is_one_line_until_it_is_reset(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    write(tmp_path / "state", "state.json", "{")
    result = with_state(tmp_path, "check-config", "state")
    assert result.exit_code == 78
    assert result.output.count("\n") == 1
    assert "`ramsterd reset-state`" in result.output
    result = with_state(tmp_path, "reset-state", "state")
    assert result.exit_code == 0
    assert f"the damaged file is kept as {tmp_path}/state/state.json.aside\n" in result.output
    assert "lost: swap0, disk1; start ramsterd, then run `ramsterctl exports`\n" in result.output
    assert with_state(tmp_path, "check-config", "state").exit_code == 0


def test_a_state_is_not_reset_under_a_running_daemon(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    result = with_state(tmp_path, "reset-state", "state")
    folder.close()
    assert result.exit_code == 1
    assert f"another ramsterd uses this state_dir: process {os.getpid()} (" in result.output
    assert result.output.endswith("; stop it first\n")
