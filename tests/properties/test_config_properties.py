"""Whatever an operator writes gives a configuration or one line: ConfigError, nothing else."""

import contextlib
from pathlib import Path

from hypothesis import event, given, strategies as st

from config.errors import ConfigError
from config.model import ClusterConfig, DaemonConfig
from config.reader import read_toml
from config.rules import check_cluster, check_daemon
from config.units import format_bytes, parse_bytes
from tests.helpers.config_texts import SAMPLES

CLUSTER_SAMPLE = (SAMPLES / "cluster.toml").read_bytes()
DAEMON_SAMPLE = (SAMPLES / "ramsterd.toml").read_bytes()

VALUES = st.sampled_from(
    [
        b"0", b"1", b"-1", b"4096", b"9" * 30, b"0x" + b"f" * 5000, b"true", b"inf", b"nan", b"0.5",
        b'""', b'"alpha"', b'"beta"', b'"2MiB"', b'"127.0.0.1"', b'"::1"', b'"10.0.0.1"',
        b'"127.0.0.1:80"', b'"debug"', b'"\\u0000"', b'"\\n"', b'"\xc3\xaf"', b"[]", b"[1]", b"{}",
        b"{a = 1}", b"2026-01-01", b"12:00:00",
    ]
)  # fmt: skip


def judge(data: bytes, model: type[ClusterConfig] | type[DaemonConfig]) -> bool:
    """Return whether the bytes are a valid configuration; fail on anything but ConfigError."""
    try:
        config = read_toml(data, model, file="f.toml", folder=Path("/etc/ramster"))
        if isinstance(config, ClusterConfig):
            check_cluster(config, file="f.toml")
        else:
            check_daemon(config, file="f.toml")
    except ConfigError as error:
        line = str(error)
        assert line.startswith("f.toml: ")
        assert line.isprintable(), "one line"
        assert len(line) < 600
        return False
    return True


@st.composite
def almost_valid(draw: st.DrawFn, sample: bytes) -> bytes:
    """Draw a sample with a few keys given other values, and lines moved, doubled or left out."""
    lines = [line.lstrip(b"#") if b" = " in line else line for line in sample.splitlines()]
    lines = [line for line in lines if line and not line.startswith((b"#", b" "))]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["value", "drop", "double", "swap", "cut"])):
            case "value":
                key = lines[at].partition(b" = ")[0]
                lines[at] = key + b" = " + draw(VALUES)
            case "drop":
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                lines[at], lines[0] = lines[0], lines[at]
            case _:
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
    return b"\n".join(lines)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_configuration_or_a_config_error(data: bytes) -> None:
    judge(data, ClusterConfig)
    judge(data, DaemonConfig)


@given(st.text(max_size=200))
def test_any_text_gives_a_configuration_or_a_config_error(text: str) -> None:
    data = text.encode(errors="surrogatepass")
    judge(data, ClusterConfig)
    judge(data, DaemonConfig)


@given(almost_valid(CLUSTER_SAMPLE))
def test_an_almost_valid_cluster_file_is_judged(data: bytes) -> None:
    event(f"valid: {judge(data, ClusterConfig)}")


@given(almost_valid(DAEMON_SAMPLE))
def test_an_almost_valid_daemon_file_is_judged(data: bytes) -> None:
    event(f"valid: {judge(data, DaemonConfig)}")


def test_the_unchanged_samples_reach_the_success_branch() -> None:
    assert judge(CLUSTER_SAMPLE, ClusterConfig)
    assert judge(DAEMON_SAMPLE, DaemonConfig)


@given(st.integers(0, 1 << 60))
def test_a_size_survives_being_written_and_read(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == count


@given(st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats(), st.binary()))
def test_any_size_is_a_count_or_a_value_error(value: object) -> None:
    with contextlib.suppress(ValueError):
        assert parse_bytes(value) >= 0
