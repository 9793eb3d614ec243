import random

from config.limits import FOREIGN_BYTES_PER_SECOND_MIN
from config.model import RemoteConfig
from nodemanager.ids import NodeId
from ramsterd.remote.hold.receive_shares import SENDING_SECONDS, ReceiveShares

RATE = 1_000_000


def test_at_first_all_members_share_half_of_the_rate() -> None:
    receive_shares = ReceiveShares(RATE)
    assert [receive_shares.share(NodeId(n), 5, 10.0) for n in range(5)] == [RATE // 10] * 5


def test_who_sends_has_a_part_of_the_other_half_too() -> None:
    receive_shares = ReceiveShares(RATE)
    for node in (1, 2):
        receive_shares.on_put(NodeId(node), 10.0)
    assert receive_shares.share(NodeId(1), 5, 10.0) == RATE // 10 + RATE // 4
    assert receive_shares.share(NodeId(3), 5, 10.0) == RATE // 10


def test_who_stopped_sending_does_not_count() -> None:
    receive_shares = ReceiveShares(RATE)
    receive_shares.on_put(NodeId(1), 10.0)
    receive_shares.on_put(NodeId(2), 10.0 + SENDING_SECONDS)
    assert receive_shares.share(NodeId(1), 5, 10.0 + SENDING_SECONDS) == RATE // 10
    assert receive_shares.share(NodeId(2), 5, 10.0 + SENDING_SECONDS) == RATE // 10 + RATE // 2


def test_a_lone_owner_has_at_least_half_and_one_of_two_nodes_all() -> None:
    receive_shares = ReceiveShares(RATE)
    receive_shares.on_put(NodeId(1), 10.0)
    assert receive_shares.share(NodeId(1), 511, 10.0) > RATE // 2
    assert receive_shares.share(NodeId(1), 1, 10.0) == RATE


def test_shares_never_add_up_to_more_than_the_rate(seed: int) -> None:
    rng = random.Random(seed)
    receive_shares, now = ReceiveShares(RATE), 10.0
    for _ in range(200):
        now += rng.choice([0.0, 0.1, 1.0])
        for node in range(7):
            if rng.random() < 0.3:
                receive_shares.on_put(NodeId(node), now)
        shares = [receive_shares.share(NodeId(node), 7, now) for node in range(7)]
        assert RATE // 2 - 7 <= sum(shares) <= RATE
        assert min(shares) >= RATE // 14


def test_a_rate_of_zero_is_no_cap() -> None:
    receive_shares = ReceiveShares(0)
    receive_shares.on_put(NodeId(1), 10.0)
    assert receive_shares.share(NodeId(1), 5, 10.0) == 0


def test_a_share_is_never_told_as_no_cap() -> None:
    assert ReceiveShares(1).share(NodeId(1), 500, 10.0) == 1


def test_by_default_two_nodes_are_bound_by_a_link_of_one_gbit_from_the_first_put_on() -> None:
    receive_shares = ReceiveShares(RemoteConfig().foreign_bytes_per_second)
    assert receive_shares.share(NodeId(1), 1, 10.0) > 10**9 / 8 > FOREIGN_BYTES_PER_SECOND_MIN
