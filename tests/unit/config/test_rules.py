"""Rules between two keys, and those of one key as the real models have them, through the real reader."""

import re
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.limits import EXPORTS_MAX, NODES_MAX
from config.model import LOG_SUBSYSTEMS, ClusterConfig, DaemonConfig
from config.reader import read_toml
from config.rules import (
    check_cluster,
    check_daemon,
    check_heartbeat,
    check_link_ports,
    check_plaintext,
    suspicious_settings,
)
from tests.helpers.config_texts import CLUSTER, DAEMON


def cluster(text: str) -> ClusterConfig:
    config = read_toml(text.encode(), ClusterConfig, file="c", folder=Path("/x"))
    check_cluster(config, file="c")
    return config


def daemon(text: str) -> DaemonConfig:
    config = read_toml(text.encode(), DaemonConfig, file="d", folder=Path("/x"))
    check_daemon(config, file="d")
    return config


def test_the_texts_that_the_cases_change_are_valid() -> None:
    cluster(CLUSTER)
    daemon(DAEMON)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("number = 2", "number = 1", "node[1].number", "a value used once"),
        ("number = 2", "number = 1024", "node[1].number", "0 to 1023"),
        ("number = 2", "number = -1", "node[1].number", "0 to 1023"),
        ("number = 2\n", "", "node[1].number", "a value: this key is required"),
        ('"beta"', '"alpha"', "node[1].name", "a value used once"),
        ('"beta"', '"Beta"', "node[1].name", "a name of a-z"),
        ('"beta"', f'"{"b" * 64}"', "node[1].name", "at most 63 bytes"),
        ('"lab"', '"my lab"', "name", "a name of a-z"),
        ("7702", "7701", "node[1].port", "a pair that no other node has"),
        ("7702", "0", "node[1].port", "1 to 65535"),
        ("7702", "65536", "node[1].port", "1 to 65535"),
        ("port = 7702", "prot = 7702", "node[1].prot", "port (the nearest known key)"),
        ('"127.0.0.1"\nport = 7702', '"10.0.0.300"', "node[1].address", "an IP address"),
        ("port = 7702", "zone = 'a b'", "node[1].zone", "a name of a-z"),
        (CLUSTER, 'name = "lab"', "node", "at least one"),
        (CLUSTER, 'name = "lab"\nnode = []', "node", "1 to 512"),
        (
            "[[node]]\nnumber = 1",
            "[timers]\nkeepalive_seconds = 30\n[[node]]\nnumber = 1",
            "timers.keepalive_seconds",
            "less than idle_seconds (30.0)",
        ),
        (
            "[[node]]\nnumber = 1",
            "[timers]\nprobe_timeout_seconds = 1\n[[node]]\nnumber = 1",
            "timers.probe_timeout_seconds",
            "less than probe_seconds (1.0)",
        ),
        (
            "port = 7702",
            "insecure_plaintext = true",
            "node[1].insecure_plaintext",
            "insecure_plaintext at the top of the file",
        ),
    ],
)
def test_a_cluster_mistake_is_named(old: str, new: str, key: str, expected: str) -> None:
    assert old in CLUSTER
    with pytest.raises(ConfigError) as caught:
        cluster(CLUSTER.replace(old, new, 1))
    assert caught.value.key == key
    assert caught.value.expected.startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "key", "expected"),
    [
        ("8MiB", "1MiB", "memory.budget", "at least 2MiB"),
        ("8MiB", "1PiB", "memory.budget", "a size such as"),
        ("8MiB", "2TiB", "memory.budget", "at most 512GiB"),
        ("8MiB", "8388609B", "memory.budget", "a multiple of 4096 bytes"),
        ('"8MiB"', '"8MiB"\nbudget_max = "4MiB"', "memory.budget_max", "0, or at least the"),
        ('"8MiB"', '"8MiB"\nlow_watermark = 0.92', "memory.low_watermark", "more than 0 and"),
        ('"8MiB"', '"8MiB"\nlow_watermark = 0', "memory.low_watermark", "more than 0 and"),
        ('"8MiB"', '"8MiB"\nhigh_watermark = 0', "memory.high_watermark", "more than 0"),
        ('"8MiB"', '"8MiB"\nhigh_watermark = 1.1', "memory.high_watermark", "a fraction from"),
        ('"8MiB"', '"8MiB"\npages_max = 0', "memory.pages_max", "1 to 2147483648"),
        ('"1MiB"', "4097", "export[0].size", "a multiple of 4096 bytes"),
        ('"1MiB"', "0", "export[0].size", "at least 4KiB"),
        ('"1MiB"', '"65TiB"', "export[0].size", "at most 64TiB"),
        ('"1MiB"', "true", "export[0].size", "a size such as"),
        ('"disk1"', '"swap0"', "export[1].name", "a value used once"),
        ('"disk1"', '""', "export[1].name", "a name of a-z"),
        ("4096", '4096\ndescription = "a\\nb"', "export[1].description", "one line of"),
        ("4096", "4096\nread_only = 1", "export[1].read_only", "true or false"),
        ("4096", '4096\ndurability = "disk"', "export[1].durability", "one of 'memory', "),
        ("4096", '4096\ndurability = "disk"', "export[1].durability", "one of 'memory'"),
        ("4096", "4096\ncopies = 4", "export[1].copies", "0 to 3"),
        ("[memory]", "[remote]\ncopies = 4\n[memory]", "remote.copies", "0 to 3"),
        ("[memory]", "[remote]\ncopies_min = 0\n[memory]", "remote.copies_min", "1 to 3"),
        ("[memory]", "[remote]\ncopies_min = 3\n[memory]", "remote.copies_min", "at most 2, which"),
        (
            "[memory]",
            "[remote]\ncopies = 1\ncopies_min = 2\n[memory]",
            "remote.copies_min",
            "at most copies (1)",
        ),
        ("[memory]", "stop_seconds_max = inf\n[memory]", "stop_seconds_max", "a positive number"),
        ("[memory]", '[nbd]\nlisten = "0.0.0.0:80"\n[memory]', "nbd.listen", "a loopback"),
        ("[memory]", '[nbd]\nlisten = "127.0.0.1:0"\n[memory]', "nbd.listen", "a port from 1"),
        ("[memory]", f'[nbd]\nsocket = "{"s" * 105}"\n[memory]', "nbd.socket", "at most 107"),
        (
            "[memory]",
            '[nbd]\nsocket = "run/s"\n[control]\nsocket = "/x/y/../run/s"\n[memory]',
            "control.socket",
            "a value used once",
        ),
        (
            "[memory]",
            '[nbd]\nlisten = "[::1]:80"\n[metrics]\nlisten = "[::1]:80"\n[memory]',
            "metrics.listen",
            "an address and port used once",
        ),
        (
            "[memory]",
            'state_dir = ""\n[memory]\nkeep = "/mnt/pages"',
            "memory.keep",
            "a state_dir beside a folder",
        ),
        ("[memory]", '[log]\nlevel = "loud"\n[memory]', "log.level", "one of 'debug', 'info'"),
        (
            "[memory]",
            '[log.subsystems]\nnet = "loud"\n[memory]',
            "log.subsystems.net",
            "one of 'debug', 'info'",
        ),
        ('node = "alpha"\n', "", "node", "a value: this key is required"),
        ('cluster = "cluster.toml"\n', "", "cluster", "a value: this key is required"),
    ],
)
def test_a_daemon_mistake_is_named(old: str, new: str, key: str, expected: str) -> None:
    assert old in DAEMON
    with pytest.raises(ConfigError) as caught:
        daemon(DAEMON.replace(old, new, 1))
    assert caught.value.key == key
    assert caught.value.expected.startswith(expected)


def test_plaintext_must_be_chosen_for_other_machines() -> None:
    far = CLUSTER.replace('"127.0.0.1"\nport = 7702', '"10.0.0.2"')
    with pytest.raises(ConfigError) as caught:
        check_plaintext(cluster(far), has_tls=False, file="c")
    assert caught.value.key == "node[1].address"
    assert caught.value.expected.startswith("a loopback address, [tls] in ramsterd.toml, or")
    check_plaintext(cluster("insecure_plaintext = true\n" + far), has_tls=False, file="c")


def test_tls_needs_no_word() -> None:
    sealed = daemon(DAEMON + '[tls]\nca = "ca.pem"\ncertificate = "n.pem"\nkey = "n.key"\n')
    assert sealed.tls is not None
    check_plaintext(
        cluster(CLUSTER.replace("127.0.0.1", "10.0.0.1", 1)),
        has_tls=sealed.tls is not None,
        file="c",
    )


def test_all_of_tls_must_be_there() -> None:
    with pytest.raises(ConfigError) as caught:
        daemon(DAEMON + '[tls]\nca = "ca.pem"\n')
    assert caught.value.key == "tls.certificate"


def test_the_same_address_written_two_ways_is_a_duplicate() -> None:
    text = CLUSTER.replace("127.0.0.1", "::1", 1).replace("127.0.0.1", "0:0::1")
    with pytest.raises(ConfigError) as caught:
        cluster(text.replace("7702", "7701"))
    assert caught.value.key == "node[1].port"
    assert (
        caught.value.found == "[0:0::1]:7701 for beta, which is the address and port of alpha too"
    )


def test_metrics_may_listen_anywhere() -> None:
    daemon(DAEMON.replace("[memory]", '[metrics]\nlisten = "0.0.0.0:9750"\n[memory]'))


def many_nodes(count: int) -> str:
    return "name = 'lab'\n" + "".join(
        f"[[node]]\nnumber = {i}\nname = 'n{i}'\naddress = '127.0.0.1'\nport = {7700 + i}\n"
        for i in range(count)
    )


def test_a_cluster_has_at_most_so_many_nodes() -> None:
    cluster(many_nodes(NODES_MAX))
    with pytest.raises(
        ConfigError, match=r"node: found 513 \[\[node\]\] tables, expected 1 to 512"
    ):
        cluster(many_nodes(NODES_MAX + 1))


def many_exports(count: int) -> str:
    return "node = 'a'\ncluster = 'c'\n" + "".join(
        f"[[export]]\nname = 'e{i}'\nsize = 4096\n" for i in range(count)
    )


def test_a_daemon_has_at_most_so_many_exports() -> None:
    daemon(many_exports(EXPORTS_MAX))
    with pytest.raises(ConfigError, match="expected 0 to 64"):
        daemon(many_exports(EXPORTS_MAX + 1))


@pytest.mark.parametrize(
    ("lines", "key", "expected"),
    [
        ("pool_pages_max = 10\nuser_pages_max = 9", "tmem.user_pages_max", "at least pool_pages_max (10)"),
        ("users = [1, 2, 1]", "tmem.users[2]", "a value used once"),
        ("pools_per_user_max = 1025", "tmem.pools_per_user_max", "1 to 1024"),
        (f"users = {list(range(65))}", "tmem.users", "at most 64 users"),
    ],
)  # fmt: skip
def test_a_mistake_about_tmem_is_named(lines: str, key: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        daemon(f"{DAEMON}[tmem]\n{lines}\n")
    assert (caught.value.key, caught.value.expected) == (key, expected)


def test_tmem_has_a_socket_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        daemon(DAEMON + '[nbd]\nsocket = "/run/s"\n[tmem]\nsocket = "/run/s"\n')
    assert caught.value.key == "tmem.socket"


def test_exports_without_a_listener_are_warned_of() -> None:
    (first, second) = suspicious_settings(daemon(DAEMON), cluster(CLUSTER))
    assert (
        first
        == "found 2 [[export]] and no endpoint for clients, expected socket or listen in [nbd]"
    )
    assert "ramsterctl can't reach" in second
    listeners = '[nbd]\nlisten = "127.0.0.1:9"\n[control]\nsocket = "c"\n'
    assert suspicious_settings(daemon(DAEMON + listeners), cluster(CLUSTER)) == []
    other = daemon(DAEMON + listeners.replace('listen = "127.0.0.1:9"', 'socket = "n"'))
    assert suspicious_settings(other, cluster(CLUSTER)) == []


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("[memory]", "[remote]\ncopies = 3\n[memory]", "remote.copies"),
        ("4096", "4096\ncopies = 3", 'export 2 ("disk1"): copies'),
    ],
)
def test_more_copies_than_peers_are_warned_of_but_no_error(old: str, new: str, key: str) -> None:
    found = suspicious_settings(daemon(DAEMON.replace(old, new, 1)), cluster(CLUSTER))
    (warning,) = [each for each in found if "copies" in each]
    assert warning.startswith(f"{key}: found 3, expected at most ")
    assert "pages leave for fewer, and are at risk" in warning


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[memory]", "[remote]\ncopies = 3\ncopies_min = 3\n[memory]"),
        ("4096", '4096\ncopies = 3\ndurability = "replicated"'),
    ],
)
def test_more_copies_than_peers_that_must_be_are_refused(old: str, new: str) -> None:
    found = suspicious_settings(daemon(DAEMON.replace(old, new, 1)), cluster(CLUSTER))
    (warning,) = [each for each in found if "copies" in each]
    assert "writes that do not fit here are refused" in warning


def test_a_draining_node_keeps_no_copies() -> None:
    asked = daemon(DAEMON.replace("[memory]", "[remote]\ncopies = 2\n[memory]", 1))
    three = CLUSTER + '[[node]]\nnumber = 3\nname = "gamma"\naddress = "127.0.0.1"\n'
    assert not any("copies" in each for each in suspicious_settings(asked, cluster(three)))
    draining = cluster(three + "cordoned = true\ndraining = true\n")
    assert any(
        "copies: found 2, expected at most 1" in each
        for each in suspicious_settings(asked, draining)
    )


def test_two_nodes_with_one_number_are_both_named() -> None:
    with pytest.raises(ConfigError) as caught:
        cluster(CLUSTER.replace("number = 2", "number = 1"))
    assert caught.value.found == "1 for beta, which is the number of alpha too"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tmemd", "; the nearest is tmem"), ("netz", "; the nearest is net"), ("x", "state, tmem")],
)
def test_an_unknown_subsystem_is_refused_with_those_that_there_are(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        daemon(f'{DAEMON}[log.subsystems]\n{name} = "debug"\n')
    assert caught.value.key == f"log.subsystems.{name}"
    assert caught.value.expected.startswith("one of certificate, commands, control")
    assert caught.value.expected.endswith(hint)


def test_the_subsystems_are_those_of_the_code() -> None:
    root = Path(__file__).parents[3]
    texts = [
        path.read_text()
        for room in ("config", "nodemanager", "net", "heartbeat", "ramsterd")
        for path in (root / room).rglob("*.py")
    ]
    found = {name for text in texts for name in re.findall(r'getLogger\("ramster\.(.+?)"\)', text)}
    assert found == LOG_SUBSYSTEMS


@pytest.mark.parametrize("section", ["nbd", "metrics"])
@pytest.mark.parametrize(
    ("listen", "whose"),
    [
        ("127.0.0.1:7701", "alpha"),
        ("0.0.0.0:7701", "alpha"),
        ("127.0.0.2:7701", None),
        # Another node of this machine: of the two the second one would not start.
        ("127.0.0.1:7702", "beta"),
        ("127.0.0.1:7703", None),
    ],
)
def test_a_listener_where_links_are_is_refused(
    section: str, listen: str, whose: str | None
) -> None:
    if section == "nbd" and listen.startswith("0"):
        return  # refused already: it is not loopback
    config = daemon(f'{DAEMON}[{section}]\nlisten = "{listen}"\n')
    members = cluster(CLUSTER)
    if whose is None:
        check_link_ports(config, members, members.node[0], file="d")
        return
    with pytest.raises(ConfigError) as caught:
        check_link_ports(config, members, members.node[0], file="d")
    assert caught.value.key == f"{section}.listen"
    assert caught.value.found == (
        f"'{listen}', which is address and port of node {whose} in cluster.toml"
    )


@pytest.mark.parametrize("listen", ["127.0.0.1:7701", "[::1]:7701", "0.0.0.0:7701", "[::]:7701"])
def test_a_listener_where_links_of_localhost_are_is_refused(listen: str) -> None:
    members = cluster(CLUSTER.replace('"127.0.0.1"', '"localhost"', 1))
    config = daemon(f'{DAEMON}[metrics]\nlisten = "{listen}"\n')
    with pytest.raises(ConfigError, match="address and port of node alpha"):
        check_link_ports(config, members, members.node[0], file="d")


def test_what_other_names_mean_is_not_known_here() -> None:
    members = cluster(CLUSTER.replace('"127.0.0.1"', '"alpha.example"', 1))
    config = daemon(f'{DAEMON}[metrics]\nlisten = "127.0.0.1:7701"\n')
    check_link_ports(config, members, members.node[0], file="d")


def test_localhost_is_loopback_and_another_name_is_not() -> None:
    local = CLUSTER.replace('"127.0.0.1"', '"localhost"')
    check_plaintext(cluster(local), has_tls=False, file="c")
    with pytest.raises(ConfigError, match=r"'localhost\.example', expected a loopback address"):
        check_plaintext(
            cluster(local.replace("localhost", "localhost.example")), has_tls=False, file="c"
        )


def test_the_same_name_written_two_ways_is_a_duplicate() -> None:
    two = CLUSTER.replace('"127.0.0.1"', '"Node.example."', 1).replace("127.0.0.1", "node.example")
    with pytest.raises(ConfigError, match=r"address and port of alpha too"):
        cluster(two.replace("7702", "7701"))


def test_a_listener_may_have_the_port_that_links_of_another_machine_have() -> None:
    members = cluster(CLUSTER.replace('"127.0.0.1"\nport = 7702', '"192.0.2.7"\nport = 7702'))
    config = daemon(f'{DAEMON}[metrics]\nlisten = "0.0.0.0:7702"\n')
    check_link_ports(config, members, members.node[0], file="d")


def test_an_endpoint_that_is_none_is_shown_one_with_its_own_port() -> None:
    with pytest.raises(ConfigError, match=r"such as '127\.0\.0\.1:9750'"):
        daemon(f'{DAEMON}[metrics]\nlisten = "9750"\n')
    with pytest.raises(ConfigError, match=r"such as '127\.0\.0\.1:10809'"):
        daemon(f'{DAEMON}[nbd]\nlisten = "10809"\n')


def test_heartbeats_that_leave_this_machine_need_a_key_or_a_word_also_with_tls() -> None:
    far = CLUSTER.replace('"127.0.0.1"', '"192.0.2.7"', 1)
    with pytest.raises(ConfigError) as caught:
        check_heartbeat(cluster(far), has_key=False, file="c")
    assert caught.value.key == "node[0].address"
    assert caught.value.expected.startswith(
        "a loopback address, heartbeat_key in ramsterd.toml, or"
    )
    check_heartbeat(cluster(far), has_key=True, file="c")
    check_heartbeat(cluster("insecure_plaintext = true\n" + far), has_key=False, file="c")
    check_heartbeat(cluster(CLUSTER), has_key=False, file="c")


@pytest.mark.parametrize(
    ("nbd", "metrics", "is_refused"),
    [
        ("127.0.0.1:9", "127.0.0.1:9", True),
        ("127.0.0.1:9", "0.0.0.0:9", True),
        ("127.0.0.1:9", "[::]:9", True),
        ("[::1]:9", "[0:0::1]:9", True),
        ("127.0.0.1:9", "127.0.0.2:9", False),
        ("127.0.0.1:9", "0.0.0.0:10", False),
    ],
)
def test_a_wildcard_is_at_the_port_of_each_other_listener(
    nbd: str, metrics: str, is_refused: bool
) -> None:
    text = f'{DAEMON}[nbd]\nlisten = "{nbd}"\n[metrics]\nlisten = "{metrics}"\n'
    if not is_refused:
        daemon(text)
        return
    with pytest.raises(ConfigError, match=r"metrics.listen: found .*, which nbd.listen uses too"):
        daemon(text)


def test_exports_far_beyond_any_memory_are_warned_of() -> None:
    text = 'control = {socket = "c"}\nnbd = {socket = "n"}\n' + DAEMON
    assert suspicious_settings(daemon(text.replace('"1MiB"', '"512MiB"')), cluster(CLUSTER)) == []
    too_large, tables, beyond = suspicious_settings(
        daemon(text.replace('"1MiB"', '"60TiB"')), cluster(CLUSTER)
    )
    assert too_large.startswith(
        "export: found 60 TiB of exports, expected at most 64 times the memory of 2 nodes with a budget of 8 MiB each"
    )
    assert tables.startswith(
        "memory.tables_max: found 64 MiB, enough for 6.9 GiB of pages, expected"
    )
    assert beyond.startswith("memory.pages_max: found 67108864 pages (256 GiB), expected at least")


def test_the_sample_is_no_cluster_of_anybody() -> None:
    config = daemon('control = {socket = "c"}\nnbd = {socket = "n"}\n' + DAEMON)
    (warning,) = suspicious_settings(config, cluster(CLUSTER.replace('"lab"', '"sample"')))
    assert "cluster.toml is the sample: found name 'sample', expected a name, nodes" in warning


def test_a_loopback_address_among_others_is_warned_of() -> None:
    config = daemon('control = {socket = "c"}\nnbd = {socket = "n"}\n' + DAEMON)
    mixed = CLUSTER.replace("127.0.0.1", "192.0.2.1", 1)
    (warning,) = suspicious_settings(config, cluster(mixed))
    assert "found loopback addresses of beta, expected none beside other addresses" in warning
    assert suspicious_settings(config, cluster(CLUSTER.replace("127.0.0.1", "192.0.2.1"))) == []
