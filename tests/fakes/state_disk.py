"""A disk for state files, without a disk: texts are written when a test says so, or not at all."""

from dataclasses import dataclass, field

from ramsterd.statefile.content import Content, encode, parse
from ramsterd.statefile.marks import RETRY_SECONDS, Marks


@dataclass
class StateDisk:
    """What lives through restarts: one text.  `start` begins an incarnation."""

    text: bytes = field(default_factory=lambda: encode(Content()))
    starts_count: int = 0
    generations_count: int = 0
    now: float = 0.0
    marks: Marks = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> Marks:
        """Return the marks of a new incarnation, which has none of the pages of the last one."""
        self.starts_count += 1
        self.marks = Marks(
            parse(self.text), new_generation=self._new_generation, started_at=self.starts_count
        )
        return self.marks

    def _new_generation(self) -> str:
        self.generations_count += 1
        return f"{self.generations_count:032x}"

    def write(self, *, problem: str = "") -> None:
        """Do all that the marks want written, or let one write fail."""
        while (content := self.marks.next_write(now=self.now)) is not None:
            if not problem:
                self.text = encode(content)
            self.marks.on_written(problem, now=self.now)

    def pass_retry_time(self) -> None:
        self.now += RETRY_SECONDS
