"""What the helper does next, by itself: no socket, no clock."""

import random

import pytest
from hypothesis import given, strategies as st

from net.backoff import Backoff
from ramsterd.attach.attachment import (
    PROBE_SECONDS,
    REPEAT_SECONDS,
    TRANSITIONS,
    Attachment,
    Detach,
    Dial,
    Effect,
    End,
    HandOver,
    HangUp,
    LetGo,
    Level,
    Plan,
    Ready,
    Say,
    State,
    Trouble,
    difference,
)
from ramsterd.client.nbd_handshake import Offer
from ramsterd.frontends.nbd.protocol import TransmissionFlag

PLAN = Plan(
    device="nbd0", export="swap0", server="/run/ramster/nbd.sock", dead_connection_seconds=300
)
FLAGS = int(TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_TRIM | TransmissionFlag.SEND_FLUSH)
OFFER = Offer(name="swap0", size=1 << 30, flags=FLAGS)


def attachment(size_of_device: int | None = None) -> Attachment:
    return Attachment(PLAN, Backoff(random.Random(1), most_seconds=2.0), size_of_device)


def attached(now: float = 0.0) -> Attachment:
    machine = attachment()
    assert machine.begin() == [Dial()]
    assert machine.on_offer(OFFER, now=now) == [HandOver(is_new=True)]
    machine.on_handed_over(now=now)
    assert machine.state is State.ATTACHED
    return machine


def said(effects: list[Effect]) -> str:
    """Return the one line that is said."""
    (line,) = (each.text for each in effects if isinstance(each, Say))
    return line


def without_words(effects: list[Effect]) -> list[Effect]:
    return [each for each in effects if not isinstance(each, Say)]


def test_the_service_manager_hears_of_a_device_that_can_be_used() -> None:
    machine = attachment()
    machine.on_offer(OFFER, now=0)
    effects = machine.on_handed_over(now=0)
    assert effects == [
        Say(
            Level.INFO,
            "nbd0: attached to export swap0 of /run/ramster/nbd.sock, 1073741824 bytes",
        ),
        Ready(),
    ]


@pytest.mark.parametrize("trouble", Trouble)
def test_a_first_try_that_fails_ends_with_the_reason(trouble: Trouble) -> None:
    machine = attachment()
    effects = machine.on_failed(trouble, "nobody listens", now=0)
    assert said(effects) == (
        "nbd0: can't attach export swap0 of /run/ramster/nbd.sock: nobody listens"
    )
    assert without_words(effects) == [End(1)]


def test_a_connection_that_ends_is_dialled_again_at_once_and_then_with_backoff() -> None:
    machine = attached()
    assert without_words(machine.on_closed(now=5)) == [LetGo(), HangUp(), Dial()]
    waits = []
    now = 5.0
    for _ in range(6):
        machine.on_failed(Trouble.UNREACHABLE, "nobody listens", now=now)
        deadline = machine.next_deadline()
        assert deadline is not None
        assert machine.on_deadline(now=deadline - 0.001) == []
        assert machine.on_deadline(now=deadline) == [Dial()]
        waits.append(deadline - now)
        now = deadline
    assert 0 < waits[0] < waits[-1] <= 2.0


def test_an_export_that_is_the_same_is_handed_over_and_not_made_anew() -> None:
    machine = attached()
    machine.on_closed(now=5)
    assert machine.on_offer(OFFER, now=8) == [HandOver(is_new=False)]
    effects = machine.on_handed_over(now=8.2)
    assert said(effects) == "nbd0: connected to /run/ramster/nbd.sock again after 3.2 s"
    assert without_words(effects) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Offer(name="swap1", size=1 << 30, flags=FLAGS), "its name was 'swap0' and is 'swap1'"),
        (Offer(name="swap0", size=4096, flags=FLAGS), "it had 1073741824 bytes and has 4096"),
        (Offer(name="swap0", size=1 << 30, flags=FLAGS - 32), "it can't do SEND_TRIM any more"),
        (Offer(name="swap0", size=1 << 30, flags=FLAGS | 2), "it was writable and is read-only"),
    ],
)
def test_another_export_under_the_name_is_never_handed_over(other: Offer, words: str) -> None:
    machine = attached()
    machine.on_closed(now=5)
    effects = machine.on_offer(other, now=6)
    assert without_words(effects) == [HangUp()]
    assert said(effects) == (
        "nbd0: no connection to export swap0 of /run/ramster/nbd.sock:"
        f" it is another export than before: {words}; requests wait for 299 s more"
    )
    assert machine.state is State.RECONNECTING
    assert machine.on_offer(OFFER, now=7) == [HandOver(is_new=False)]


def test_an_export_that_has_grown_and_can_do_more_is_the_same() -> None:
    upgraded = Offer(name="swap0", size=2 << 30, flags=FLAGS | TransmissionFlag.SEND_FAST_ZERO)
    assert difference(OFFER, upgraded) == ""
    assert "was read-only and is writable" in difference(
        Offer(name="swap0", size=1, flags=FLAGS | 2), Offer(name="swap0", size=1, flags=FLAGS)
    )


def test_a_reason_is_said_when_it_changes_and_else_once_a_minute() -> None:
    machine = attached()
    machine.on_closed(now=0)
    lines = []
    for second in range(int(REPEAT_SECONDS) + 2):
        reason = "the pages ended" if second >= 30 else "nobody listens"
        effects = machine.on_failed(Trouble.UNREACHABLE, reason, now=second)
        lines += [second for each in effects if isinstance(each, Say)]
    assert lines == [0, 30]
    effects = machine.on_failed(Trouble.UNREACHABLE, "the pages ended", now=90)
    assert "requests wait for 210 s more" in said(effects)


def test_a_refusal_ends_the_helper_when_requests_fail_anyway() -> None:
    machine = attached()
    machine.on_closed(now=0)
    assert End(1) not in machine.on_failed(Trouble.REFUSED, "lost", now=299.9)
    effects = machine.on_failed(Trouble.REFUSED, "lost", now=300)
    assert effects[-2:] == [
        Say(
            Level.ERROR,
            "nbd0: no connection for 300 s: its requests fail with I/O errors",
        ),
        End(1),
    ]


def test_a_server_that_is_away_is_waited_for_without_end() -> None:
    machine = attached()
    machine.on_closed(now=0)
    for second in range(300, 4000, 60):
        effects = machine.on_failed(Trouble.UNREACHABLE, "nobody listens", now=second)
        assert without_words(effects) == []
        assert "requests fail" in str(effects)
    assert machine.on_offer(OFFER, now=4000) == [HandOver(is_new=False)]


def test_what_the_kernel_may_need_is_offered_again_at_any_news_and_from_time_to_time() -> None:
    machine = attached(now=0)
    assert machine.on_news() == [HandOver(is_new=False)]
    assert machine.on_handed_over(now=3) == []
    assert machine.next_deadline() == 3 + PROBE_SECONDS
    assert machine.on_deadline(now=3 + PROBE_SECONDS) == [HandOver(is_new=False)]
    assert machine.next_deadline() == 3 + 2 * PROBE_SECONDS
    machine.on_closed(now=20)
    assert machine.on_news() == [], "a new connection is on its way"


def test_a_device_that_is_attached_already_is_taken_over() -> None:
    machine = attachment(size_of_device=1 << 30)
    assert machine.on_offer(OFFER, now=0) == [HandOver(is_new=False)]
    effects = machine.on_handed_over(now=0)
    assert "nbd0: taken over: it was attached before, to export swap0" in said(effects)
    assert Ready() in effects


def test_a_device_that_is_larger_than_the_export_is_not_taken_over() -> None:
    effects = attachment(size_of_device=2 << 30).on_offer(OFFER, now=0)
    assert without_words(effects) == [HangUp(), End(1)]
    assert "it has 1073741824 bytes, and the device has 2147483648" in said(effects)


def test_a_stop_detaches_what_nobody_uses() -> None:
    machine = attached()
    assert without_words(machine.on_stop([])) == [Detach(), HangUp(), End(0)]
    assert machine.on_stop([]) == []


def test_a_stop_leaves_a_disk_that_is_used_and_says_so() -> None:
    machine = attached()
    effects = machine.on_stop(["swap", "the mount /mnt"])
    assert without_words(effects) == [End(0)]
    assert "it is used by swap, the mount /mnt" in said(effects)


def test_a_stop_before_anything_is_attached_only_ends() -> None:
    assert attachment().on_stop([]) == [End(0)]


def test_a_device_that_others_detached_ends_the_helper() -> None:
    machine = attached()
    assert without_words(machine.on_gone()) == [End(0)]
    assert machine.on_gone() == []


def test_a_kernel_that_refuses_ends_the_helper() -> None:
    machine = attachment()
    machine.on_offer(OFFER, now=0)
    effects = machine.on_kernel_refused("it is in use")
    assert without_words(effects) == [HangUp(), End(1)]
    assert machine.next_deadline() is None


@given(st.lists(st.sampled_from(range(8)), max_size=40), st.integers(0, 1000))
def test_any_order_of_news_keeps_the_promises(news: list[int], seed: int) -> None:
    """No other export is handed over, no device is made twice, and an end is the end."""
    machine = attachment()
    machine.begin()
    other = Offer(name="other", size=4096, flags=FLAGS)
    now, made = 0.0, 0
    rng = random.Random(seed)
    is_dialling = True
    for each in news:
        now += rng.random() * 20
        before = machine.state
        match each:
            case 0 if is_dialling:
                effects = machine.on_offer(OFFER, now=now)
            case 1 if is_dialling and before is State.RECONNECTING:
                effects = machine.on_offer(other, now=now)
                assert not any(isinstance(effect, HandOver) for effect in effects)
            case 2 if is_dialling:
                effects = machine.on_failed(Trouble.UNREACHABLE, "away", now=now)
            case 3:
                effects = machine.on_closed(now=now)
            case 4:
                effects = machine.on_news()
            case 5:
                effects = machine.on_deadline(now=now)
            case 6:
                effects = machine.on_gone()
            case 7:
                effects = machine.on_stop([])
            case _:
                continue
        assert machine.state is before or machine.state in TRANSITIONS[before]
        if before is State.ENDED:
            assert effects in ([], [HangUp()])
        is_dialling = Dial() in effects
        made += effects.count(HandOver(is_new=True))
        if any(isinstance(effect, HandOver) for effect in effects):
            machine.on_handed_over(now=now)
        deadline = machine.next_deadline()
        assert (deadline is None) == (machine.state in {State.ATTACHING, State.ENDED})
    assert made <= 1
