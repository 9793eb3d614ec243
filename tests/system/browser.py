"""A real Chromium without a window, driven over a pipe as its DevTools protocol has it (`--remote-debugging-pipe`).

Messages are JSON with a NUL behind each: descriptor 3 is what the browser reads, 4 what it writes.
"""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tests.system.daemons import wait_until

CHROMIUM: Final = "chromium"
END_SECONDS_MAX: Final = 10.0
PAGE_SECONDS_MAX: Final = 30.0
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
# No sandbox: tests run as root in containers.  Nothing of it goes to other hosts.
_OPTIONS: Final = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
    "--no-first-run", "--no-proxy-server", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """One page of it."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._unread = b""
        self._numbers = itertools.count(1)
        self._session: dict[str, object] = {}
        # What the page complained of.
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = {"sessionId": session["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, parameters: Mapping[str, object] = _NOTHING) -> Any:
        """Return the result of a command; events that come meanwhile are looked at."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": {**parameters}, **self._session}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while (answer := self._receive()).get("id") != number:
            self._note(answer)
        assert "result" in answer, (method, answer)
        return answer["result"]

    def open(self, url: str, width: int, height: int, *, dark: bool = False) -> None:
        """Show a page in a window of this size."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", {"features": [scheme]})
        assert "errorText" not in self.call("Page.navigate", {"url": url})
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Return what an expression comes to in the page."""
        answer = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True})
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        wait_until(lambda: self.evaluate(expression), expression, seconds_max=PAGE_SECONDS_MAX)

    def take_picture(self, path: Path) -> None:
        """Keep the whole page as a PNG."""
        height = self.evaluate("document.documentElement.scrollHeight")
        width = self.evaluate("document.documentElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = self.call("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(answer["data"]))

    def _receive(self) -> Any:
        while b"\0" not in self._unread:
            some = os.read(self._answers, 1 << 16)
            assert some, "the browser has ended"
            self._unread += some
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Mapping[str, Any]) -> None:
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(event["params"]["exceptionDetails"]))
            case "Log.entryAdded" if event["params"]["entry"]["level"] == "error":
                self.complaints.append(str(event["params"]["entry"]))


@contextmanager
def started() -> Iterator[Browser]:
    """Yield a browser that has a profile of its own; it ends with the block."""
    program = shutil.which(CHROMIUM)
    assert program is not None
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The shell puts the pipes where the browser looks for them.
        command = f'exec "$@" 3<&{commands} 4>&{answers}'
        process = subprocess.Popen(
            ["/bin/bash", "-c", command, "-", program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        try:
            yield Browser(to_browser, from_browser)
        finally:
            process.terminate()
            process.wait(END_SECONDS_MAX)
            os.close(to_browser)
            os.close(from_browser)
