from ramsterd.daemon import CannotServe, leaves


def test_leaves_of_nested_groups_come_in_order() -> None:
    first, second, third = CannotServe("a"), ValueError("b"), KeyboardInterrupt()
    inner = BaseExceptionGroup("", [second, BaseExceptionGroup("", [third])])
    assert list(leaves(BaseExceptionGroup("", [first, inner]))) == [first, second, third]
