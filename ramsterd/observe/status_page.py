"""The status page: one document that needs nothing else, and may load nothing else."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

HTML: Final = "text/html; charset=utf-8"
_INLINE: Final = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


class StatusPage:
    """The document, and the header fields that go with it."""

    def __init__(self) -> None:
        self.document = Path(__file__).with_name("status_page.html").read_bytes()
        self.fields = (
            ("Content-Security-Policy", _policy(self.document)),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-cache"),
        )


def _policy(document: bytes) -> str:
    """Return a policy by which a browser runs what is in this document, and nothing else (CSP level 2)."""
    hashes = {
        kind.decode(): base64.b64encode(hashlib.sha256(text).digest()).decode()
        for kind, text in _INLINE.findall(document)
    }
    allowed = [f"{kind}-src 'sha256-{digest}'" for kind, digest in sorted(hashes.items())]
    return "; ".join(
        ["default-src 'none'", *allowed, "connect-src 'self'", "img-src data:", "base-uri 'none'",
         "form-action 'none'", "frame-ancestors 'none'"]
    )  # fmt: skip
