"""What the files ask for and the machine does not give."""

from dataclasses import replace
from pathlib import Path

import pytest

from config.facts import Machine, Place, PlaceType, User
from config.findings import Finding
from config.machine import judge_budget, judge_machine, suspicious_connection_limits, tables_bytes
from config.memory import MemoryBound
from config.model import ClusterConfig, DaemonConfig
from config.reader import read_toml
from tests.helpers.config_texts import CLUSTER, DAEMON

MIB = 1 << 20
RAMSTER = User(name="ramster", uid=990, groups=frozenset({990}))
RAM = MemoryBound(limit_bytes=1 << 40, name="the memory of this machine")
FILE = "/etc/ramster/ramsterd.toml"
FOLDER = Path("/etc/ramster")
KEYS = """\
heartbeat_key = "beat.key"
tls = {ca = "ca.pem", certificate = "node.pem", key = "node.key"}
"""


def read(text: str) -> DaemonConfig:
    return read_toml(text.encode(), DaemonConfig, file=FILE, folder=FOLDER)


def read_cluster(text: str = CLUSTER) -> ClusterConfig:
    return read_toml(text.encode(), ClusterConfig, file="c", folder=FOLDER)


def at(path: Path, type: PlaceType, mode: int, uid: int = 990) -> Place:  # noqa: A002  the field's name
    return Place(path=path, type=type, mode=mode, uid=uid, gid=0, owner=f"u{uid}:g0")


class Ways(dict[Path, tuple[Place, ...]]):
    """All is there and belongs to the daemon's user, but for `changed`."""

    def __init__(self, **changed: Place) -> None:
        super().__init__()
        self.changed = {place.path: place for place in changed.values()}

    def __missing__(self, path: Path) -> tuple[Place, ...]:
        folders = [
            self.changed.get(each, at(each, PlaceType.FOLDER, 0o755))
            for each in reversed(path.parents)
        ]
        is_socket = path.suffix == ".sock"
        kind = PlaceType.SOCKET if is_socket else PlaceType.FILE
        if not path.suffix:
            kind = PlaceType.FOLDER
        itself = at(path, kind, 0o755 if kind is PlaceType.FOLDER else 0o600)
        return (*folders, self.changed.get(path, itself))


def machine(**changed: Place) -> Machine:
    return Machine(user=RAMSTER, memory=(RAM,), ways=Ways(**changed))


def judge(
    text: str, host: Machine, *, is_start: bool = False, cluster: str = CLUSTER
) -> list[Finding]:
    config, node = read(text), read_cluster(cluster).node[0]
    return judge_machine(config, node, host, file=FILE, is_start=is_start, at="node[0]")


def test_a_machine_that_gives_all_is_not_spoken_of() -> None:
    listeners = '[nbd]\nsocket = "/run/ramster/nbd.sock"\nlisten = "127.0.0.1:10809"\n'
    for is_start in (False, True):
        assert judge(KEYS + DAEMON + listeners, machine(), is_start=is_start) == []


# Memory.


def with_memory(*bounds: MemoryBound) -> Machine:
    return replace(machine(), memory=(RAM, *bounds))


def test_a_budget_beyond_the_limit_of_the_cgroup_is_an_error() -> None:
    limit = MemoryBound(limit_bytes=200 * MIB, name="memory.max of cgroup /a", is_fatal=True)
    (finding,) = judge(DAEMON.replace('"8MiB"', '"512MiB"'), with_memory(limit))
    assert finding.is_error
    assert str(finding).startswith("memory.budget: found 512MiB with up to ")
    assert str(finding).endswith(
        "expected less than 200 MiB together (memory.max of cgroup /a): beyond that the kernel ends the daemon"
    )
    assert str(finding.error()).startswith(f"{FILE}: memory.budget: found 512MiB")


def test_budget_tables_and_process_together_are_compared() -> None:
    """What is left beside the budget would not hold the process: a warning, for nobody has filled it yet."""
    text = DAEMON.replace('"8MiB"', '"170MiB"')
    limit = MemoryBound(limit_bytes=200 * MIB, name="memory.max of cgroup /a", is_fatal=True)
    (finding,) = judge(text, with_memory(limit))
    assert not finding.is_error
    assert judge(text, with_memory(replace(limit, limit_bytes=300 * MIB))) == []
    # The tables of a large export are a large part, unless they have a bound.
    many = text.replace('"1MiB"', '"16GiB"')
    assert tables_bytes(read(many)) == 64 * MIB
    many = many.replace('"170MiB"', '"170MiB"\ntables_max = "1GiB"')
    assert 170 * MIB > tables_bytes(read(many)) > 144 * MIB
    (finding,) = judge(many, with_memory(replace(limit, limit_bytes=300 * MIB)))
    assert "beside it" in finding.found


def test_a_daemon_that_serves_swap_needs_more_beside_its_budget() -> None:
    text = DAEMON.replace('"8MiB"', '"80MiB"')
    limit = MemoryBound(limit_bytes=150 * MIB, name="memory.max of cgroup /a", is_fatal=True)
    assert judge(text, with_memory(limit)) == []
    (finding,) = judge(f"{text}swap = true\n", with_memory(limit))
    assert finding.key == "memory.budget"


@pytest.mark.parametrize(
    ("lock", "swap", "is_start", "expected"),
    [
        ("yes", False, True, "error"),
        ("yes", True, True, "error"),
        ("yes", False, False, "warning"),
        ("auto", True, True, "warning"),
        ("auto", True, False, "warning"),
        ("auto", False, True, "nothing"),
        ("no", True, True, "nothing"),
    ],
)
def test_a_limit_on_locked_memory_is_told_where_it_matters(
    lock: str, swap: bool, is_start: bool, expected: str
) -> None:
    text = DAEMON.replace("[memory]\n", f'[memory]\nlock = "{lock}"\n')
    text += "swap = true\n" if swap else ""
    limited = replace(machine(), lock_limit_bytes=8 * MIB)
    findings = judge(text, limited, is_start=is_start)
    assert ["error" if each.is_error else "warning" for each in findings] == (
        [] if expected == "nothing" else [expected]
    )
    for each in findings:
        assert str(each).startswith(
            f"memory.lock: found '{lock}', and at most 8 MiB may be locked (RLIMIT_MEMLOCK), expected no limit"
        )
        assert str(each).endswith(
            "set LimitMEMLOCK=infinity in the unit, or type `ulimit -l unlimited` as root before ramsterd"
        )
    assert judge(text, machine(), is_start=is_start) == [], "without a limit"


def test_a_budget_beyond_a_limit_that_ends_nobody_is_a_warning() -> None:
    limit = MemoryBound(limit_bytes=6 * MIB, name="memory.high of cgroup /a")
    (finding,) = judge(DAEMON, with_memory(limit))
    assert not finding.is_error
    assert "memory.high of cgroup /a): beyond that the kernel slows the daemon" in str(finding)
    (finding,) = judge(DAEMON, replace(machine(), memory=(replace(RAM, limit_bytes=8 * MIB),)))
    assert "8 MiB together (the memory of this machine)" in str(finding)


def test_the_largest_budget_is_compared_too() -> None:
    limit = MemoryBound(limit_bytes=200 * MIB, name="memory.max of cgroup /a", is_fatal=True)
    text = DAEMON.replace('"8MiB"', '"8MiB"\nbudget_max = "200MiB"')
    (finding,) = judge(text, with_memory(limit))
    assert (finding.key, finding.is_error) == ("memory.budget_max", False)


def test_a_budget_that_fits_is_nothing() -> None:
    assert judge_budget(8 * MIB, (replace(RAM, limit_bytes=9 * MIB),)) is None


# Files.


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ramsterd.toml", ""),
        ("cluster.toml", "cluster"),
        ("beat.key", "heartbeat_key"),
        ("ca.pem", "tls.ca"),
        ("node.pem", "tls.certificate"),
        ("node.key", "tls.key"),
    ],
)
def test_a_file_that_the_user_of_the_daemon_can_not_read_is_an_error(name: str, key: str) -> None:
    found = machine(file=at(FOLDER / name, PlaceType.FILE, 0o600, uid=0))
    (finding,) = judge(KEYS + DAEMON, found)
    assert (finding.key, finding.is_error) == (key, True)
    assert finding.found == f"{FOLDER / name} (u0:g0, mode 0600), which user ramster can't read"
    assert finding.expected == "a file that user ramster can read"


def test_a_folder_that_the_user_of_the_daemon_can_not_enter_is_an_error() -> None:
    findings = judge(DAEMON, machine(folder=at(FOLDER, PlaceType.FOLDER, 0o700, uid=0)))
    assert findings[0].is_error
    assert "folder /etc/ramster (u0:g0, mode 0700), which user ramster can't enter" in str(
        findings[0]
    )


def test_a_cluster_file_that_can_not_be_replaced_is_a_warning() -> None:
    path = FOLDER / "cluster.toml"
    hosts = [
        (machine(folder=at(FOLDER, PlaceType.FOLDER, 0o755, uid=0)), "can't write to"),
        (replace(machine(), mount_points=frozenset({path})), "a mount of one file"),
        (machine(file=at(path, PlaceType.FILE, 0o444)), "a read-only file"),
    ]
    for host, reason in hosts:
        (finding,) = judge(DAEMON, host)
        assert (finding.file, finding.is_error) == (str(path), False)
        assert reason in finding.found
        assert "`ramsterctl node` changes no member at this node" in finding.expected


# The state folder.

VAR_LIB, STATE = Path("/var/lib"), Path("/var/lib/ramster")


def test_a_state_folder_that_can_be_made_is_not_missed() -> None:
    assert judge(DAEMON, machine(folder=at(STATE, PlaceType.MISSING, 0))) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        (
            {
                "a": at(STATE, PlaceType.MISSING, 0),
                "b": at(VAR_LIB, PlaceType.FOLDER, 0o755, uid=0),
            },
            "folder /var/lib (u0:g0, mode 0755), which user ramster can't write to",
        ),
        (
            {"a": at(STATE, PlaceType.FOLDER, 0o700, uid=0)},
            "folder /var/lib/ramster (u0:g0, mode 0700), which user ramster can't use",
        ),
    ],
    ids=["missing", "of root"],
)
def test_a_state_folder_that_can_not_be_used_is_an_error_unless_the_unit_makes_it(
    changed: dict[str, Place], found: str
) -> None:
    host = machine(**changed)
    (finding,) = judge(DAEMON, host)
    assert (finding.key, finding.found, finding.is_error) == ("state_dir", found, True)
    assert finding.expected.endswith("`install -d -o ramster -m 700 /var/lib/ramster`")
    assert judge(DAEMON, replace(host, made_folders=frozenset({STATE}))) == []
    assert judge(DAEMON, host, is_start=True) == [], "the start makes it, and says why it can't"
    assert judge('state_dir = ""\n' + DAEMON, host) == []


def test_a_file_in_the_place_of_the_state_folder_is_an_error() -> None:
    host = machine(folder=at(STATE, PlaceType.FILE, 0o600))
    (finding,) = judge(DAEMON, host)
    assert finding.is_error
    assert "is no folder" in finding.found


def test_a_state_folder_of_which_more_is_missing_is_named() -> None:
    ways = Ways()
    ways[STATE] = (at(Path("/"), PlaceType.FOLDER, 0o755), at(VAR_LIB, PlaceType.MISSING, 0))
    (finding,) = judge(DAEMON, replace(machine(), ways=ways))
    assert finding.found == "no folder /var/lib"


# Sockets.

SOCKETS = "".join(
    f'[{section}]\nsocket = "/run/ramster/{section}.sock"\n'
    for section in ("nbd", "tmem", "control")
)
NO_FOLDER = at(Path("/run/ramster"), PlaceType.MISSING, 0)


def test_a_folder_that_is_missing_is_said_once() -> None:
    (finding,) = judge(DAEMON + SOCKETS, machine(folder=NO_FOLDER))
    assert str(finding).startswith(
        "nbd.socket, tmem.socket, control.socket: found no folder /run/ramster, expected a folder when"
    )
    assert not finding.is_error


def test_a_folder_that_a_unit_makes_is_not_missed() -> None:
    host = replace(machine(folder=NO_FOLDER), made_folders=frozenset({Path("/run/ramster")}))
    assert judge(DAEMON + SOCKETS, host) == []


def test_a_folder_that_is_missing_at_the_start_is_an_error() -> None:
    (finding,) = judge(DAEMON + SOCKETS, machine(folder=NO_FOLDER), is_start=True)
    assert finding.is_error


def test_a_folder_in_which_no_socket_can_be_made_is_an_error() -> None:
    folder = at(Path("/run/ramster"), PlaceType.FOLDER, 0o755, uid=0)
    (finding,) = judge(DAEMON + SOCKETS, machine(folder=folder))
    assert finding.is_error
    assert "which user ramster can't write to, expected a folder in which user ramster can" in str(
        finding
    )


def test_what_is_no_socket_is_not_replaced_by_one() -> None:
    plain = at(Path("/run/ramster/nbd.sock"), PlaceType.FILE, 0o600)
    (finding,) = judge(DAEMON + SOCKETS, machine(file=plain))
    assert (finding.key, finding.is_error) == ("nbd.socket", True)
    assert finding.found == "/run/ramster/nbd.sock, which is no socket"


# Addresses.


def test_an_address_that_no_interface_has_is_an_error_in_the_file_that_has_it() -> None:
    reason = "cannot assign requested address"
    host = replace(machine(), unbindable={"127.0.0.1": reason, "192.0.2.1": reason})
    links, metrics = judge(DAEMON + '[metrics]\nlisten = "192.0.2.1:9750"\n', host)
    assert (links.file, links.key) == (str(FOLDER / "cluster.toml"), "node[0].address")
    assert (metrics.file, metrics.key) == (FILE, "metrics.listen")
    assert metrics.found == f"'192.0.2.1' ({reason})"
    assert links.is_error
    assert metrics.is_error


NAMED = CLUSTER.replace("127.0.0.1", "alpha", 1)


def test_a_name_that_nobody_knows_yet_is_a_warning() -> None:
    host = replace(machine(), unknown_names={"alpha": "no answer"})
    (finding,) = judge(DAEMON, host, cluster=NAMED)
    assert (finding.key, finding.is_error) == ("node[0].address", False)
    assert finding.found == "'alpha' (no answer)"
    assert "`getent ahosts alpha`" in finding.expected


def test_a_name_that_is_loopback_on_its_own_machine_is_a_warning() -> None:
    def found(*addresses: str) -> list[Finding]:
        host = replace(machine(), addresses_of_names={"alpha": addresses})
        return judge(DAEMON, host, cluster=NAMED)

    (finding,) = found("127.0.1.1")
    assert finding.found == "'alpha', which is only 127.0.1.1 on this machine"
    assert not finding.is_error
    assert found("127.0.1.1", "192.0.2.1") == []


def test_localhost_is_meant_to_be_loopback() -> None:
    host = replace(machine(), addresses_of_names={"localhost": ("::1", "127.0.0.1")})
    assert judge(DAEMON, host, cluster=CLUSTER.replace("127.0.0.1", "localhost", 1)) == []


def test_a_port_that_only_root_may_have_is_a_warning_for_others() -> None:
    text = DAEMON + '[metrics]\nlisten = "127.0.0.1:80"\n'
    (finding,) = judge(text, machine())
    assert (finding.key, finding.is_error) == ("metrics.listen", False)
    assert finding.expected == "1024 or more, or CAP_NET_BIND_SERVICE for user ramster"
    assert judge(text, replace(machine(), unprivileged_port=80)) == []
    assert judge(text, replace(machine(), user=User(name="root", uid=0))) == []


def test_more_clients_than_there_are_descriptors_are_warned_of() -> None:
    two = "".join(f'[[export]]\nname = "d{each}"\nsize = "4MiB"\n' for each in (1, 2))
    nbd = '[nbd]\nsocket = "/x/nbd"\nconnections_max = 100\n'
    tmem = '[tmem]\nsocket = "/x/tmem"\nconnections_max = 20\n'
    config = read(DAEMON.replace("[[export]]", "[[exports]]").partition("[[")[0] + nbd + tmem + two)
    assert suspicious_connection_limits(config, clients_max=220) == []
    (warning,) = suspicious_connection_limits(config, clients_max=219)
    assert warning == (
        "nbd.connections_max, tmem.connections_max: found 200 clients of NBD and 20 of tmem in all, expected at most"
        " 219, for which there are file descriptors; the rest is refused.  Raise LimitNOFILE= in the unit or ulimit -n"
    )
