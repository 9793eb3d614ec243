from config.model import LOG_SUBSYSTEMS, LogConfig, LogLevel
from ramsterd.host.logs.levels import ALL, Levels

CONFIG = LogConfig(level=LogLevel.WARNING, subsystems={"net": LogLevel.ERROR})


def shown(levels: Levels, *names: str) -> list[str]:
    return [levels.of(name).value for name in names]


def test_the_config_says_the_level_of_all_and_of_each_that_differs() -> None:
    levels = Levels(CONFIG)
    assert shown(levels, "net", "nbd", ALL) == ["error", "warning", "warning"]
    levels.follow(LogConfig())
    assert shown(levels, "net", "nbd", ALL) == ["info", "info", "info"]


def test_the_level_of_an_operator_counts_more_also_after_a_reload() -> None:
    levels = Levels(CONFIG)
    levels.change("net", LogLevel.DEBUG)
    levels.follow(LogConfig(level=LogLevel.ERROR))
    assert shown(levels, "net", "nbd", ALL) == ["debug", "error", "error"]


def test_a_level_for_all_ends_those_of_single_ones() -> None:
    levels = Levels(CONFIG)
    levels.change("net", LogLevel.DEBUG)
    levels.change(ALL, LogLevel.INFO)
    assert shown(levels, "net", "nbd", ALL) == ["info", "info", "info"]
    levels.change("net", LogLevel.DEBUG)
    assert shown(levels, "net", "nbd", ALL) == ["debug", "info", "info"]


def test_a_level_ends_at_its_time() -> None:
    levels = Levels(CONFIG)
    levels.change("net", LogLevel.DEBUG, until=10.0)
    levels.change("nbd", LogLevel.DEBUG)
    assert levels.on_deadline(9.9) == ()
    assert levels.on_deadline(10.0) == ("net",)
    assert shown(levels, "net", "nbd") == ["error", "debug"]


def test_a_reset_brings_back_the_config() -> None:
    levels = Levels(CONFIG)
    assert not levels.reset("net")
    assert not levels.reset(ALL)
    levels.change("net", LogLevel.DEBUG)
    assert levels.reset("net")
    assert shown(levels, "net") == ["error"]
    levels.change("net", LogLevel.DEBUG)
    assert levels.reset(ALL)
    assert shown(levels, "net") == ["error"]


def test_one_may_be_reset_while_all_others_stay_changed() -> None:
    levels = Levels(CONFIG)
    levels.change(ALL, LogLevel.DEBUG, until=10.0)
    assert levels.reset("net")
    assert shown(levels, "net", "nbd") == ["error", "debug"]
    assert set(levels.on_deadline(10.0)) == {ALL, "net"}


def test_the_snapshot_has_every_subsystem_and_what_is_left() -> None:
    levels = Levels(CONFIG)
    levels.change("net", LogLevel.DEBUG, until=10.0)
    levels.change("nbd", LogLevel.DEBUG)
    now = levels.statistics(4.0)
    assert now.keys() == LOG_SUBSYSTEMS
    assert (now["net"].level, now["net"].configured) == (LogLevel.DEBUG, LogLevel.ERROR)
    assert now["net"].seconds_left == 6.0
    assert now["nbd"].is_changed
    assert now["nbd"].seconds_left is None
    assert not now["pager"].is_changed
