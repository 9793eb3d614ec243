"""Tests that run over both kinds of inner loops, those of Python and the compiled ones."""

import pytest

from ramsterd import compiled
from tests.helpers.requirements import require_compiled


@pytest.fixture(params=["python", "compiled"])
def each_loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have each store that is made be served by one kind; return which."""
    if request.param == "python":
        monkeypatch.setattr(compiled, "loops", None)
    else:
        require_compiled()
    kind: str = request.param
    return kind
