"""The commands where there is no nbd, and how devices are shown."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from ramsterd.attach.words import why_refused
from ramsterd.cli import nbd
from ramsterd.cli.nbd import format_devices
from ramsterd.cli.ramsterctl import main
from tests.fakes.nbd_kernel import FakeKernel


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["attach", "swap0", "/dev/sda"], "expected a device of the kernel's nbd"),
        (["detach", "sda"], "expected a device of the kernel's nbd"),
        (
            ["attach", "swap0", "nbd0", "--server", "host:1"],
            "--server: found 'host:1', expected a path such as /run/ramster/nbd.sock, or",
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_names_what_was_expected(
    arguments: list[str], words: str
) -> None:
    done = CliRunner().invoke(main, ["nbd", *arguments])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert words in line


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKernel]:
    kernel = FakeKernel()
    monkeypatch.setattr(nbd, "HostNetlink", lambda: kernel)
    yield kernel
    kernel.close()


@pytest.mark.parametrize("arguments", [["list"], ["detach", "nbd0"]])
def test_without_the_module_it_says_what_to_type(arguments: list[str], kernel: FakeKernel) -> None:
    kernel.has_module = False
    done = CliRunner().invoke(main, ["nbd", *arguments])
    assert done.exit_code == 1
    assert "type `modprobe nbd`" in done.stderr


def test_a_device_that_is_not_attached_can_not_be_detached(kernel: FakeKernel) -> None:
    done = CliRunner().invoke(main, ["nbd", "detach", "nbd0"])
    assert done.exit_code == 1
    assert "nbd0: it is not attached; `ramsterctl nbd list` shows what is" in done.stderr


def test_with_no_device_the_list_is_its_head(kernel: FakeKernel) -> None:
    done = CliRunner().invoke(main, ["nbd", "list"])
    assert done.exit_code == 0
    (line,) = done.stdout.splitlines()
    assert line.split() == ["DEVICE", "SIZE", "HELPER", "ATTACHED", "TO", "USED", "BY"]
    assert CliRunner().invoke(main, ["nbd", "list", "-o", "json"]).stdout == "[]\n"


def test_a_device_is_one_line() -> None:
    row: dict[str, object] = {
        "device": "nbd0",
        "size_bytes": 1 << 30,
        "attached_to": "ramster swap0 of /run/ramster/nbd.sock",
        "helper": 4711,
        "users": ["swap on /dev/nbd0"],
    }
    other = row | {"device": "nbd1", "attached_to": "", "helper": None, "users": []}
    _, first, second = format_devices([row, other]).splitlines()
    assert first.split() == [
        "nbd0",
        "1",
        "GiB",
        "4711",
        "ramster",
        "swap0",
        "of",
        "/run/ramster/nbd.sock",
        "swap",
        "on",
        "/dev/nbd0",
    ]
    assert second.split() == ["nbd1", "1", "GiB", "none", "-", "-"]


def test_a_device_of_others_is_named_by_what_is_known() -> None:
    assert "to ramster swap0 of /s" in why_refused(
        16, device="nbd0", identifier="ramster swap0 of /s"
    )
    assert "perhaps by nbd-client" in why_refused(16, device="nbd0")
