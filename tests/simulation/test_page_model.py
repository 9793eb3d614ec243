import pytest

from tests.simulation.page_model import HOLE, LOST, ZEROS, PageModel, Value

OLD: Value = (1,) * 8


def whole(number: int) -> Value:
    return (number,) * 8


def begin_put(model: PageModel, number: int) -> None:
    model.begin(number, lambda _: whole(number))


def begin_patch(model: PageModel, number: int) -> None:
    model.begin(number, lambda value: (number, *value[1:]), is_patch=True)


def test_an_open_put_may_have_taken_effect_and_a_stored_one_has() -> None:
    model = PageModel(ZEROS)
    begin_put(model, 2)
    assert model.values == {ZEROS, whole(2)}
    model.on_stored(2)
    assert model.values == {whole(2)}
    with pytest.raises(AssertionError, match="is read"):
        model.on_read({ZEROS})


def test_a_put_takes_no_effect_after_a_later_one() -> None:
    model = PageModel(OLD)
    begin_put(model, 2)
    begin_put(model, 3)
    model.on_stored(3)
    assert model.values == {whole(3)}
    model.on_stored(2)
    assert model.values == {whole(3)}


def test_a_client_that_vanished_has_no_effect_later() -> None:
    model = PageModel(OLD)
    begin_put(model, 2)
    model.on_vanished(2)
    assert model.values == {OLD, whole(2)}
    model.on_read({OLD})
    assert model.values == {OLD}


def test_a_refusal_keeps_or_hides_what_stood_there() -> None:
    kept, hidden, superseded = PageModel(OLD), PageModel(OLD), PageModel(OLD)
    for model in (kept, hidden, superseded):
        begin_put(model, 2)
    begin_put(superseded, 3)
    superseded.on_stored(3)
    kept.on_refused(2)
    hidden.on_refused(2, is_hidden=True)
    superseded.on_refused(2, is_hidden=True)
    assert kept.values == {OLD, whole(2)}
    assert hidden.values == {LOST, whole(2)}
    assert superseded.values == {whole(3)}
    empty = PageModel(HOLE)
    begin_put(empty, 2)
    empty.on_refused(2, is_hidden=True)
    assert empty.values == {HOLE, whole(2)}


def test_a_patch_takes_its_turn_behind_what_came_before_it() -> None:
    model = PageModel(OLD)
    begin_put(model, 2)
    begin_patch(model, 3)
    assert model.values == {OLD, whole(2), (3, *whole(2)[1:])}
    model.on_refused(2)
    model.on_stored(3)
    assert model.values == {(3, *OLD[1:]), (3, *whole(2)[1:])}


def test_a_get_that_waits_may_see_all_that_stood_there_meanwhile() -> None:
    model = PageModel(OLD)
    model.begin_read(1)
    for number in (2, 3):
        begin_put(model, number)
        model.on_stored(number)
    assert model.end_read(1) == {OLD, whole(2), whole(3)}


def test_an_ephemeral_page_may_vanish_and_stays_away() -> None:
    model = PageModel(OLD)
    model.may_vanish = True
    model.on_read({HOLE})
    assert model.values == {HOLE}


def test_a_take_leaves_what_was_put_while_it_waited() -> None:
    model = PageModel(OLD)
    model.begin_take(5)
    begin_put(model, 6)
    assert model.values == {OLD, whole(6)}
    model.end_take(5, is_taken=True)
    assert model.values == {HOLE, whole(6)}
    model.on_stored(6)
    assert model.values == {whole(6)}
    model.begin_take(7)
    model.end_take(7, is_taken=True)
    assert model.values == {HOLE}
