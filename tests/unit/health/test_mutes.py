from ramsterd.health.codes import Code, Finding, Severity
from ramsterd.health.mutes import MUTE_SECONDS_MAX, MuteEnded, Mutes


def down(count: int = 1, severity: Severity = Severity.WARN) -> Finding:
    return Finding(
        code=Code.NODE_DOWN, severity=severity, summary="down", command="top", count=count
    )


def muted(finding: Finding, seconds: float = 60.0) -> Mutes:
    mutes = Mutes()
    mutes.mute(finding, seconds, 100.0)
    return mutes


def test_a_mute_ends_after_its_time() -> None:
    mutes = muted(down())
    assert mutes.seconds_left(Code.NODE_DOWN, 130.0) == 30.0
    assert mutes.on_findings([down()], 159.0) == []
    assert mutes.on_findings([down()], 160.0) == [MuteEnded(Code.NODE_DOWN, is_worse=False)]
    assert mutes.seconds_left(Code.NODE_DOWN, 160.0) == 0.0
    assert mutes.on_findings([down()], 161.0) == []


def test_a_mute_ends_as_soon_as_it_gets_worse() -> None:
    for worse in (down(count=3), down(count=1, severity=Severity.ERR)):
        mutes = muted(down(count=2))
        assert mutes.on_findings([worse], 101.0) == [MuteEnded(Code.NODE_DOWN, is_worse=True)]


def test_what_comes_back_no_worse_is_muted_still() -> None:
    mutes = muted(down(count=2))
    assert mutes.on_findings([], 110.0) == []
    assert mutes.on_findings([down(count=2)], 120.0) == []
    assert mutes.seconds_left(Code.NODE_DOWN, 120.0) == 40.0
    assert mutes.on_findings([], 130.0) == []
    assert mutes.on_findings([down(count=3)], 140.0) == [MuteEnded(Code.NODE_DOWN, is_worse=True)]


def test_a_second_mute_begins_anew() -> None:
    mutes = muted(down())
    mutes.mute(down(count=3), MUTE_SECONDS_MAX, 150.0)
    assert mutes.on_findings([down(count=3)], 200.0) == []
    assert mutes.seconds_left(Code.NODE_DOWN, 150.0) == MUTE_SECONDS_MAX


def test_an_operator_ends_a_mute_once() -> None:
    mutes = muted(down())
    assert mutes.unmute(Code.NODE_DOWN)
    assert not mutes.unmute(Code.NODE_DOWN)
    assert mutes.seconds_left(Code.NODE_DOWN, 101.0) == 0.0
