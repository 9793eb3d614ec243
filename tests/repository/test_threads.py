"""Threads are started in one place, where the system's refusal of one is an error like others."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("config", "heartbeat", "net", "nodemanager", "ramsterd")
ALLOWED = {Path("ramsterd/host/threads.py")}
WORDS = ("to_thread", "threading.Thread(", "start_new_thread", "concurrent.futures")


def test_one_module_starts_threads() -> None:
    found = {
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if any(word in path.read_text() for word in WORDS)
    }
    assert found == ALLOWED
