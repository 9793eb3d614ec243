from ramsterd.handover.document import CONNECTIONS_MAX, LISTENERS_MAX
from ramsterd.handover.names import NAME_BYTES_MAX, Received, socket_name, sort_received

# A variable of the environment, by execve(2).
VARIABLE_BYTES_MAX = 32 * 4096


def test_what_is_ours_is_told_from_what_is_not() -> None:
    received = [
        ("ramster-super", 3),
        ("ramster-handover", 4),
        (socket_name(0), 5),
        (socket_name(12), 6),
        ("ramster-handover-", 7),
        ("ramster-handover-007", 8),
        ("nbd.socket", 9),
        ("", 10),
    ]
    others = [received[0], *received[4:]]
    assert sort_received(received) == Received([4], {0: [5], 12: [6]}, others)


def test_what_came_twice_is_seen_twice() -> None:
    twice = [("ramster-handover", 3), ("ramster-handover", 4), (socket_name(1), 5)]
    assert sort_received([*twice, (socket_name(1), 6)]) == Received([3, 4], {1: [5, 6]}, [])


def test_all_names_fit_into_one_variable() -> None:
    count = CONNECTIONS_MAX + LISTENERS_MAX
    assert len(socket_name(count)) <= NAME_BYTES_MAX
    names = ":".join(map(socket_name, range(count)))
    assert len(f"LISTEN_FDNAMES={names}") < VARIABLE_BYTES_MAX - 10_000, "kept memory has names too"
