"""What a guest's console says of its pages."""

import re

PAGES_OF_MEBIBYTE = 256
ERROR = r"I/O error|-error on swap-device|SIGBUS|hung_task|blocked for more than"


def assert_right(said: str, *, mebibytes: int) -> None:
    """Fail unless the program found all its pages as it left them, after it was swapped out, and the kernel had no error."""
    pages = mebibytes * PAGES_OF_MEBIBYTE
    assert f"hog: {pages} pages, 0 wrong" in said, said[-3000:]
    assert "guest: hog ended with 0" in said
    assert "WRONG" not in said
    assert not re.search(ERROR, said)
    (swapped_in,) = re.findall(r"^pswpin (\d+)$", said, re.MULTILINE)
    assert int(swapped_in) > pages


def assert_refused(said: str) -> None:
    """Fail unless the program was ended by an error, and never read a wrong page."""
    assert "WRONG" not in said
    assert "guest: hog ended with 0" not in said
    assert re.search(r"Read-error on swap-device|I/O error, dev (vda|nbd0)", said), said[-3000:]
