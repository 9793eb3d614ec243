from pathlib import Path

import pytest

from tests.helpers.requirements import PACKAGES, require_libnbd, require_root, require_tool

INSTALLER = Path(__file__).parents[1] / "install-tools"


def test_a_missing_tool_skips_by_its_name() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"^needs no-such-tool$"):
        require_tool("sh", "no-such-tool")


def test_a_missing_tool_of_a_known_package_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=r"^needs nbdinfo \(libnbd-bin\)$"):
        require_tool("nbdinfo")


def test_a_test_for_root_is_skipped_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="needs root"):
        require_root()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    require_root()


def test_every_package_that_a_skip_names_is_installed_by_the_script() -> None:
    words = INSTALLER.read_text().split()
    assert set(PACKAGES.values()) <= set(words)


def test_without_the_nbd_module_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for python in ("/no/such/python", "/bin/false"):
        monkeypatch.setattr("tests.helpers.requirements.SYSTEM_PYTHON", python)
        with pytest.raises(pytest.skip.Exception, match=r"python3-libnbd"):
            require_libnbd()
    monkeypatch.setattr("tests.helpers.requirements.SYSTEM_PYTHON", "/bin/true")
    assert require_libnbd() == "/bin/true"
