"""Members that answer `ramsterctl` what they were given, or fail; alpha is at hand."""

from collections.abc import Mapping
from typing import Any

from ramsterd.cli.ask import AskFailed, Request
from ramsterd.cli.target import Target


class AnsweringCluster:
    """An answer for each name; a text is why there is none."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []
        # What the node at hand believes of some.
        self.states: dict[str, str] = {}

    def ask(self, target: Target, command: str, **_: object) -> Any:
        assert not target.is_cluster
        if command == "nodes":
            return [
                {"config": {"name": name}, "state": self.states.get(name, "up")}
                for name in self.answers
            ]
        return self._answer_of(target.node)

    def ask_each(self, target: Target, requests: Mapping[str, Request], **_: object) -> list[Any]:
        assert not target.is_cluster
        return [self._answer_of(node) for node in requests]

    def _answer_of(self, node: str) -> Any:
        self.asked.append(node)
        answer = self.answers[node or "alpha"]
        return AskFailed(answer) if isinstance(answer, str) else answer
