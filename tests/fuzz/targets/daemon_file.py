"""Any text of a daemon's file is a configuration that keeps every rule, or ConfigError in one line that names the file."""

from collections.abc import Mapping
from pathlib import Path

from config.errors import ConfigError
from config.model import DaemonConfig
from config.reader import read_toml
from config.rules import check_daemon
from tests.fuzz.target import Target
from tests.fuzz.targets.cluster_file import judge
from tests.fuzz.toml import change_text
from tests.helpers.config_texts import DAEMON, SAMPLES

FILE = "ramsterd.toml"


def check(data: bytes) -> set[str]:
    try:
        daemon = read_toml(data, DaemonConfig, file=FILE, folder=Path("/etc/ramster"))
        check_daemon(daemon, file=FILE)
    except ConfigError as error:
        return judge(error, FILE)
    assert len({export.name for export in daemon.export}) == len(daemon.export)
    assert daemon.cluster.is_absolute()
    sockets = [daemon.nbd.socket, daemon.tmem.socket, daemon.control.socket]
    return {
        "daemon",
        *({"exports"} if daemon.export else ()),
        *({"tls"} if daemon.tls else ()),
        *({"sockets"} if any(sockets) else ()),
    }


def seeds() -> Mapping[str, bytes]:
    text = DAEMON.encode()
    listeners = b'[nbd]\nsocket = "nbd.sock"\nlisten = "127.0.0.1:80"\n[tmem]\nsocket = "t.sock"\nusers = ["root", 7]\n'
    tls = b'[tls]\nca = "ca.pem"\ncertificate = "n.pem"\nkey = "n.key"\n'
    return {
        "plain": text,
        "listeners": text + listeners + b'[log]\nlevel = "debug"\n[log.subsystems]\nnet = "info"\n',
        "tls": text + tls,
        "same-socket": text + listeners.replace(b"t.sock", b"x/../nbd.sock"),
        "remote": text + b"[remote]\ncopies = 2\nephemeral = true\nfetch_seconds_max = 1\n",
        "sample": (SAMPLES / "ramsterd.toml").read_bytes(),
        "watermarks": text.replace(b"[[export]]", b"low_watermark = 0.99\n[[export]]", 1),
        "bad": text + b"]",
    }


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset({"daemon", "refused", "bad TOML", "exports", "tls", "sockets"}),
    repair=change_text,
    bytes_max=8192,
    tokens=(
        b"[[export]]",
        b"budget",
        b"MiB",
        b"[memory]",
        b"[tmem]",
        b"users",
        b"[log.subsystems]",
        b"\\u",
    ),
)
