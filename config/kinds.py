"""What a key may hold: one small class for each kind of value, named in the annotations of `config.model`.

Each kind turns what TOML gave (str, int, float, bool, list, …) into the value of the field, or
raises Mismatch, whose text says what was expected.  A kind judges one value alone; rules between
two keys are in `config.rules`.
"""

import math
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from config.endpoint import check_zone, parse_address, parse_host, split_endpoint
from config.errors import Mismatch
from config.limits import NAME_BYTES_MAX, USER_ID_MAX
from config.memory import MemoryBound
from config.shares import Share, is_share
from config.units import EXPECTED, format_bytes, human_bytes, parse_bytes

# What a size looks like.
EXAMPLE_BYTES: Final = 64 << 20
NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")


@runtime_checkable
class Kind(Protocol):
    """One kind of value."""

    def read(self, value: object, folder: Path, /) -> object:
        """Return the field's value.  Relative paths start at `folder`.

        Raises:
            Mismatch: With what was expected.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """Not a kind of value: how many tables an array of tables may have."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    def read(self, value: object, _folder: Path, /) -> bool:
        """See `Kind.read`."""
        if not isinstance(value, bool):
            raise Mismatch("true or false")
        return value


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def read(self, value: object, _folder: Path, /) -> int:
        """See `Kind.read`."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise Mismatch("a whole number")
        if not self.least <= value <= self.most:
            raise Mismatch(f"{self.least} to {self.most}")
        return value


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes from `least` to `most`, in steps of `step`.

    0 too where it means "by default".
    """

    least: int
    most: int
    step: int = 1
    zero_is_default: bool = False

    def read(self, value: object, _folder: Path, /) -> int:
        """See `Kind.read`."""
        count = parse_bytes(value)
        if count < self.least and str(value).isdecimal() and not self._is_default(count):
            fits = self.least <= EXAMPLE_BYTES <= self.most
            example = format_bytes(EXAMPLE_BYTES if fits else self.least)
            about = f"{value} means {value} bytes: write a unit, such as '{example}'"
            raise Mismatch(f"at least {format_bytes(self.least)}; {about}")
        return self.bounded(count)

    def bounded(self, count: int) -> int:
        """Return a number of bytes, if it may be one.

        Raises:
            Mismatch: It is too small, too large, or no multiple of a step.
        """
        if self._is_default(count):
            return count
        if count < self.least:
            raise Mismatch(f"at least {format_bytes(self.least)}")
        if count > self.most:
            raise Mismatch(f"at most {format_bytes(self.most)}")
        if count % self.step:
            raise Mismatch(f"a multiple of {self.step} bytes")
        return count

    def _is_default(self, count: int) -> bool:
        return count == 0 and self.zero_is_default


@dataclass(frozen=True, slots=True)
class SizeOrShare:
    """A size as `size` has it, or a percentage of the memory that `given` names."""

    size: Size
    memory: MemoryBound | None = None

    def given(self, memory: MemoryBound | None) -> "SizeOrShare":
        """Return the kind on a machine whose memory is known."""
        return replace(self, memory=memory)

    def read(self, value: object, folder: Path, /) -> int:
        """See `Kind.read`."""
        if not is_share(value):
            try:
                return self.size.read(value, folder)
            except Mismatch as mismatch:
                # Only of what is no size at all: one that is too large is not put right by a
                # percentage.
                like = f"{mismatch}, or a part of the memory such as '60%'"
                raise Mismatch(like if str(mismatch) == EXPECTED else str(mismatch)) from None
        if self.memory is None:
            raise Mismatch("a size: how much memory there is is not known here")
        share = Share(str(value), self.memory, step=self.size.step)
        try:
            self.size.bounded(int(share))
        except Mismatch as mismatch:
            came_to = f"{human_bytes(share)} of {self.memory.name}"
            raise Mismatch(f"{mismatch}; it comes to {came_to}") from None
        return share


def _read_number(value: object, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Mismatch(expected)
    try:
        number = float(value)
    except OverflowError:  # an int of more than 308 digits
        raise Mismatch(expected) from None
    if not math.isfinite(number):
        raise Mismatch(expected)
    return number


@dataclass(frozen=True, slots=True)
class Seconds:
    """A positive, finite duration."""

    def read(self, value: object, _folder: Path, /) -> float:
        """See `Kind.read`."""
        number = _read_number(value, "a positive number of seconds")
        if number <= 0:
            raise Mismatch("a positive number of seconds")
        return number


@dataclass(frozen=True, slots=True)
class Fraction:
    """A part of a whole, 0 to 1."""

    def read(self, value: object, _folder: Path, /) -> float:
        """See `Kind.read`."""
        number = _read_number(value, "a fraction from 0 to 1")
        if not 0 <= number <= 1:
            raise Mismatch("a fraction from 0 to 1")
        return number


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        raise Mismatch("a text in quotes")
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character, which JSON can say and TOML can't
        raise Mismatch("a text of whole characters") from None
    return value


@dataclass(frozen=True, slots=True)
class Name:
    """A short plain name: it stands in file names, metric labels and (later) certificates."""

    may_be_empty: bool = False

    def read(self, value: object, _folder: Path, /) -> str:
        """See `Kind.read`."""
        text = _read_text(value)
        if not text and self.may_be_empty:
            return text
        if len(text.encode()) > NAME_BYTES_MAX:
            raise Mismatch(f"at most {NAME_BYTES_MAX} bytes")
        if NAME.fullmatch(text) is None:
            raise Mismatch("a name of a-z, 0-9, '.' and '-' that starts with a letter or digit")
        return text


@dataclass(frozen=True, slots=True)
class Text:
    """One line for people."""

    bytes_max: int

    def read(self, value: object, _folder: Path, /) -> str:
        """See `Kind.read`."""
        text = _read_text(value)
        if len(text.encode()) > self.bytes_max:
            raise Mismatch(f"at most {self.bytes_max} bytes")
        if not text.isprintable():
            raise Mismatch("one line of printable text")
        return text


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address or a host name that other nodes can reach: no wildcard, no multicast.

    A link-local address has a zone, which means the same at all nodes only if all of them call that
    interface alike.
    """

    def read(self, value: object, _folder: Path, /) -> str:
        """See `Kind.read`."""
        text = _read_text(value)
        address = parse_host(text)
        if isinstance(address, str):
            return text
        if address.is_unspecified:
            raise Mismatch("the address of one machine: 0.0.0.0 and :: mean all addresses of any")
        if address.is_multicast:
            raise Mismatch("the address of one machine")
        check_zone(address)
        return text


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`ADDRESS:PORT` to listen on, or an empty text: off."""

    loopback_only: bool
    # What an error shows.
    example_port: int

    def read(self, value: object, _folder: Path, /) -> str:
        """See `Kind.read`."""
        text = _read_text(value)
        if not text:
            return text
        address, _ = split_endpoint(text, example_port=self.example_port)
        parsed = parse_address(address)
        if self.loopback_only and not parsed.is_loopback:
            raise Mismatch(f"a loopback address such as '127.0.0.1:{self.example_port}'")
        check_zone(parsed)
        return text


@dataclass(frozen=True, slots=True)
class File:
    """The path of a file; a relative one starts at the folder of the configuration file."""

    def read(self, value: object, folder: Path, /) -> Path:
        """See `Kind.read`."""
        text = _read_text(value)
        if not text or "\0" in text:
            raise Mismatch("the path of a file")
        return folder / text


@dataclass(frozen=True, slots=True)
class OptionalFile:
    """The path of a file as `File` has it, or an empty text: none."""

    def read(self, value: object, folder: Path, /) -> Path | None:
        """See `Kind.read`."""
        return File().read(value, folder) if _read_text(value) else None


@dataclass(frozen=True, slots=True)
class OptionalFolder:
    """The path of a folder as `File` has it, or an empty text: none."""

    def read(self, value: object, folder: Path, /) -> Path | None:
        """See `Kind.read`."""
        text = _read_text(value)
        if "\0" in text:
            raise Mismatch("the path of a folder")
        return folder / text if text else None


@dataclass(frozen=True, slots=True)
class FolderOr:
    """One of some words, or the path of a folder, which has a slash in it."""

    words: type[StrEnum]

    def read(self, value: object, folder: Path, /) -> StrEnum | Path:
        """See `Kind.read`."""
        text = _read_text(value)
        if text in set(self.words):
            return self.words(text)
        if "/" not in text or "\0" in text:
            words = ", ".join(f'"{word}"' for word in self.words)
            raise Mismatch(f"{words}, or the path of a folder")
        return folder / text


@dataclass(frozen=True, slots=True)
class Socket:
    """The path of a Unix socket, or an empty text: off.  The kernel limits the bytes of the whole path."""

    bytes_max: int

    def read(self, value: object, folder: Path, /) -> Path | None:
        """See `Kind.read`."""
        text = _read_text(value)
        if not text:
            return None
        if "\0" in text:
            raise Mismatch("the path of a socket")
        path = folder / text
        # surrogateescape: a folder may have any bytes in its name (PEP 383).
        count = len(str(path).encode(errors="surrogateescape"))
        if count > self.bytes_max:
            raise Mismatch(f"at most {self.bytes_max} bytes, not {count}, in the whole path")
        return path


@dataclass(frozen=True, slots=True)
class Users:
    """Users of this machine, by name or id.  Whether a name is known is for `config.load` to find out."""

    most: int

    def read(self, value: object, _folder: Path, /) -> tuple[int | str, ...]:
        """See `Kind.read`."""
        if not isinstance(value, list):
            raise Mismatch("an array of user names and ids")
        if len(value) > self.most:
            raise Mismatch(f"at most {self.most} users")
        return tuple(_read_user(user) for user in value)


def _read_user(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= USER_ID_MAX:
        return value
    # NAME_BYTES_MAX bounds what getpwnam is asked; the kernel knows no names.
    if isinstance(value, str) and value.isprintable() and 0 < len(value.encode()) <= NAME_BYTES_MAX:
        return value
    raise Mismatch(f"an array of user names and ids from 0 to {USER_ID_MAX}")
