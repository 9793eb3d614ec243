"""Asking a daemon: its status, and which process it is."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ramsterd.doctor import daemon
from ramsterd.doctor.daemon import NoAnswer, NotRunning, ask_status, file_of


def serve(path: Path, answer: bytes) -> socket.socket:
    """Answer one client."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def answer_one() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(100)
            client.sendall(answer)

    threading.Thread(target=answer_one, daemon=True).start()
    return listener


def test_a_status_comes_with_the_process_that_sent_it(tmp_path: Path) -> None:
    text = b'{"ok": true, "result": {"node": "%s"}}\n' % (b"x" * 100_000)
    with serve(tmp_path / "c", text):
        status, process = ask_status(tmp_path / "c")
    assert len(status["node"]) == 100_000
    assert process == os.getpid()


def test_the_process_is_who_answers_and_not_who_began_to_listen(tmp_path: Path) -> None:
    """A restarted daemon goes on with the listening socket of the one before."""
    program = (
        "import socket, sys\n"
        "client, _ = socket.socket(fileno=int(sys.argv[1])).accept()\n"
        "client.recv(100)\n"
        'client.sendall(b\'{"ok": true, "result": {}}\\n\')\n'
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "c"))
        listener.listen(1)
        number = listener.fileno()
        with subprocess.Popen(
            [sys.executable, "-c", program, str(number)], pass_fds=[number]
        ) as other:
            assert ask_status(tmp_path / "c") == ({}, other.pid)


def test_nobody_there_is_a_daemon_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        ask_status(tmp_path / "none")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    with pytest.raises(NotRunning):
        ask_status(tmp_path / "stale")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "is not ramsterd"),
        (b"HTTP/1.1 200\n", "is not ramsterd"),
        (b"[]\n", "is not ramsterd"),
        (b'{"ok": false, "error": "busy"}\n', "busy"),
    ],
)
def test_who_answers_otherwise_is_told(tmp_path: Path, answer: bytes, words: str) -> None:
    with serve(tmp_path / "c", answer), pytest.raises(NoAnswer, match=words):
        ask_status(tmp_path / "c")


def test_an_answer_without_an_end_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "ANSWER_BYTES_MAX", 1000)
    with serve(tmp_path / "c", b"x" * 2000), pytest.raises(NoAnswer, match="is not ramsterd"):
        ask_status(tmp_path / "c")


def test_a_silent_daemon_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "ANSWER_SECONDS_MAX", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "c"))
        listener.listen(1)
        with pytest.raises(NoAnswer, match="timed out"):
            ask_status(tmp_path / "c")


@pytest.mark.parametrize(
    ("answer", "file"),
    [
        (b'{"ok": true, "result": {"config": {"file": "/srv/n1.toml"}}}\n', Path("/srv/n1.toml")),
        (b'{"ok": true, "result": {"config": {"file": 1}}}\n', None),
        (b'{"ok": true, "result": {"config": {}}}\n', None),
        (b'{"ok": true, "result": []}\n', None),
        (b'{"ok": false, "error": "busy"}\n', None),
    ],
    ids=["told", "no text", "older", "no status", "refused"],
)
def test_a_daemon_says_which_file_it_was_started_with(
    tmp_path: Path, answer: bytes, file: Path | None
) -> None:
    with serve(tmp_path / "c", answer):
        assert file_of(tmp_path / "c") == file


def test_a_daemon_that_does_not_run_says_no_file(tmp_path: Path) -> None:
    assert file_of(tmp_path / "c") is None


def test_the_files_of_a_daemon_in_a_container_are_not_those_of_this_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel names no process that can't be seen from here."""
    status = {"config": {"file": "/srv/n1.toml"}}
    monkeypatch.setattr(daemon, "ask_status", lambda _: (status, 0))
    assert file_of(tmp_path / "c") is None
