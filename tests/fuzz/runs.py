"""One target's run: its process, and what came of it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from tests.fuzz.findings import ROOT
from tests.fuzz.target import CORPUS, load

BUILD: Final = ROOT / "build" / "fuzz"
# An input that takes longer hangs, as far as a target is concerned; the most that a worker may use.
INPUT_SECONDS_MAX: Final = 20
MEMORY_MEBIBYTES_MAX: Final = 1024
# Importing and instrumenting takes a few seconds, on a busy machine many.
START_SECONDS_MAX: Final = 120
STOP_SECONDS_MAX: Final = 5


class Run:
    """`finish` runs the target; after it `report` says what was found."""

    def __init__(self, name: str, seconds: int) -> None:
        self.name = name
        self._seconds = seconds
        self._folder = BUILD / name
        self._corpus = self._folder / "corpus"
        self._findings = self._folder / "findings"
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._new_inputs = 0

    @property
    def has_failed(self) -> bool:
        """Whether something was found, or nothing could be looked for."""
        return bool(self._found()) or self._executions() is None

    def finish(self) -> Self:
        """Fuzz for as long as asked, in a process of its own."""
        self._prepare()
        before = self._count_inputs()
        with self._log.open("wb") as log:
            if self._is_stopped:
                return self
            # Its own group: Ctrl-C is ours to pass on.
            process = self._process = subprocess.Popen(
                self._command(), cwd=ROOT, stdout=log, stderr=log, process_group=0
            )
            try:
                process.wait(self._seconds + START_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.stop()
        self._new_inputs = self._count_inputs() - before
        return self

    def stop(self) -> None:
        """End the process, and begin none."""
        self._is_stopped = True
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def report(self) -> str:
        """Return one line, and some more for each finding."""
        executions, found = self._executions(), self._found()
        if executions is None and not found:
            return f"{self.name:16} did not run, see {self._shown(self._log)}"
        line = (
            f"{self.name:16} {executions or 0:11,} executions  {len(found)} findings"
            f"  {self._count_inputs()} inputs ({self._new_inputs} new)  {self._last('cov')} edges"
        )
        return "\n".join([line, *map(self._tell, found)])

    def _prepare(self) -> None:
        self._corpus.mkdir(parents=True, exist_ok=True)
        self._findings.mkdir(exist_ok=True)
        # What was found before is tried first, and counts only if it still fails.
        for path in self._findings.iterdir():
            if path.suffix == ".txt":
                path.unlink()
            else:
                path.rename(self._corpus / f"found-{path.stem}")
        # Not empty, or libFuzzer refuses it.
        lines = map(quoted, (*load(self.name).tokens, b"\0"))
        (self._folder / "tokens").write_text("\n".join(lines))

    def _command(self) -> list[str]:
        return [
            sys.executable, "-m", "tests.fuzz.worker", self.name, str(self._findings),
            str(self._corpus), str(CORPUS / self.name),
            f"-max_total_time={self._seconds}", f"-max_len={load(self.name).bytes_max}",
            f"-timeout={INPUT_SECONDS_MAX}", f"-report_slow_units={INPUT_SECONDS_MAX}",
            f"-rss_limit_mb={MEMORY_MEBIBYTES_MAX}", f"-dict={self._folder / 'tokens'}",
            f"-artifact_prefix={self._findings}/", "-print_final_stats=1",
        ]  # fmt: skip

    def _count_inputs(self) -> int:
        return sum(1 for folder in (self._corpus, CORPUS / self.name) for _ in folder.iterdir())

    def _found(self) -> list[Path]:
        return sorted(path for path in self._findings.iterdir() if path.suffix != ".txt")

    def _executions(self) -> int | None:
        found = self._last("stat::number_of_executed_units")
        return int(found) if found.isdigit() else None

    def _last(self, word: str) -> str:
        found = re.findall(rf"{re.escape(word)}: +(\d+)", self._log.read_text(errors="replace"))
        return found[-1] if found else "?"

    def _tell(self, path: Path) -> str:
        told = path.with_suffix(".txt")
        # libFuzzer names what it ended by itself: timeout-…, oom-…, crash-….
        what = told.read_text().splitlines()[-1] if told.exists() else path.name.partition("-")[0]
        command = shlex.join(["python", "-m", "tests.fuzz", self.name, "--replay"])
        return (
            f"  {what}\n    input   {self._shown(path)} ({path.stat().st_size} bytes)\n"
            f"    replay  {command} {self._shown(path)}"
        )

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(ROOT))


def quoted(token: bytes) -> str:
    """Return a line of libFuzzer's dictionary."""
    escaped = "".join(f"\\x{byte:02x}" for byte in token)
    return f'"{escaped}"'
