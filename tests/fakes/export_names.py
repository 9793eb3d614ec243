"""The exports of a node, as `export reset` knows them."""


class FakeExportNames:
    def __init__(self, *names: str, left: tuple[str, ...] = ()) -> None:
        self.names = list(names)
        self.left_names = list(left)

    def drop_left(self, name: str) -> None:
        self.left_names.remove(name)
