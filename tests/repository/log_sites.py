"""Where the code logs, and with what text: read from the source."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from config.limits import NODES_MAX
from ramsterd.endpoints.accept import FEW_LINES
from ramsterd.host.logs.limiter import LINES_MAX

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("config", "nodemanager", "net", "heartbeat", "ramsterd")
_METHODS: Final = {"debug", "info", "warning", "error", "exception", "critical", "log"}
_LOGGER: Final = re.compile(r"\b(?:_?log(?:ger)?|log_of_strangers|logger_of\(.*\))$")
SHOWN_CHARACTERS_MAX: Final = 80
# These have a line for each node when a cluster starts.
_OF_EACH_NODE: Final = ("nodemanager/journal.py", "net/link_news.py")
_VARIABLE: Final = re.compile(r"%[-.\d]*[a-z]")


@dataclass(frozen=True)
class Site:
    """One call."""

    path: str
    line: int
    method: str
    # None: it is no constant.
    text: str | None
    lines_max: int

    @property
    def shown(self) -> str:
        """Return the text, or its beginning, as the documents write it."""
        assert self.text is not None
        shown = re.sub("…+", "…", _VARIABLE.sub("…", self.text))
        if len(shown) <= SHOWN_CHARACTERS_MAX:
            return shown
        return shown[:SHOWN_CHARACTERS_MAX].rpartition(" ")[0] + " …"


@cache
def sites() -> tuple[Site, ...]:
    """Return all of them; files are read when a test asks first, not as tests are collected."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return tuple(chain.from_iterable(map(_sites_of, paths)))


def _sites_of(path: Path) -> Iterator[Site]:
    source = path.read_text()
    if "log" not in source or not any(f".{method}(" in source for method in _METHODS):
        return  # to parse all files takes seconds
    tree = ast.parse(source)
    constants = _constants(tree)
    name = str(path.relative_to(ROOT))
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        method = call.func.attr
        if method not in _METHODS or not _LOGGER.search(ast.unparse(call.func.value)):
            continue
        found = call.args[1 if method == "log" else 0]
        text = constants.get(found.id) if isinstance(found, ast.Name) else _constant(found)
        few = any(ast.unparse(each.value) == "FEW_LINES" for each in call.keywords)
        lines_max = (
            FEW_LINES["lines_max"] if few else 2 * NODES_MAX if name in _OF_EACH_NODE else LINES_MAX
        )
        yield Site(name, call.lineno, method, text, lines_max)


def _constants(tree: ast.Module) -> dict[str, str]:
    found = {}
    for each in tree.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            text = None if each.value is None else _constant(each.value)
            if text is not None:
                found[each.target.id] = text
    return found


def _constant(found: ast.expr) -> str | None:
    is_text = isinstance(found, ast.Constant) and isinstance(found.value, str)
    return found.value if is_text else None  # type: ignore[attr-defined]  # is_text says so
