"""What systemd says of units, as `systemctl show` prints it."""

import pytest

from ramsterd.doctor import units
from tests.helpers.doctor_facts import MIB

SHIPPED = """\
Slice=ramster.slice
MemoryMin=605028352
MemoryHigh=infinity
MemoryMax=infinity
MemorySwapMax=0
LimitMEMLOCK=infinity
LimitNOFILE=65536
OOMScoreAdjust=-1000
User=ramster
CapabilityBoundingSet=cap_ipc_lock cap_sys_resource
AmbientCapabilities=cap_ipc_lock cap_sys_resource
Id=ramsterd.service
LoadState=loaded
FileDescriptorStoreMax=4111
"""
SLICE = """\
MemoryMin=0
MemoryHigh=1073741824
MemoryMax=18446744073709551615
MemorySwapMax=infinity
Id=ramster.slice
LoadState=loaded
"""


def changed(**properties: str) -> dict[str, str]:
    return units.properties_of(SHIPPED) | properties


def test_a_unit_is_read_by_its_properties() -> None:
    start = units.start_of(units.properties_of(SHIPPED))
    assert (start.unit, start.oom_score_adj, start.kept_descriptors) == (
        "ramsterd.service",
        -1000,
        4111,
    )
    assert (start.lock_limit_bytes, start.descriptors_max) == (None, 65536)
    assert start.has_resource_right


@pytest.mark.parametrize(
    ("properties", "limit", "has_resource_right"),
    [
        ({"LimitMEMLOCK": "8388608"}, None, True),
        ({"LimitMEMLOCK": "8388608", "AmbientCapabilities": ""}, 8 * MIB, False),
        ({"AmbientCapabilities": ""}, None, False),
        ({"LimitMEMLOCK": "8388608", "AmbientCapabilities": "", "User": "root"}, None, True),
        ({"LimitMEMLOCK": "8388608", "User": "", "CapabilityBoundingSet": ""}, 8 * MIB, False),
    ],
)
def test_rights_come_from_limits_users_and_capabilities(
    properties: dict[str, str], limit: int | None, has_resource_right: bool
) -> None:
    start = units.start_of(changed(**properties))
    assert (start.lock_limit_bytes, start.has_resource_right) == (limit, has_resource_right)


def test_a_unit_that_there_is_not_is_told_apart() -> None:
    assert units.is_loaded(units.properties_of(SHIPPED))
    assert not units.is_loaded(changed(LoadState="not-found"))
    assert not units.is_loaded({})


@pytest.mark.parametrize(
    ("name", "slices"),
    [
        ("ramster.slice", ["ramster.slice"]),
        ("a-b-c.slice", ["a-b-c.slice", "a-b.slice", "a.slice"]),
        ("-.slice", []),
        ("", []),
    ],
)
def test_a_slice_is_inside_those_that_its_name_has(name: str, slices: list[str]) -> None:
    assert units.slices_of(name) == slices


def test_cgroups_of_a_unit_are_known_before_it_runs() -> None:
    shown = [units.properties_of(text) for text in (SHIPPED, SLICE)]
    service, above = units.levels_of(shown, "/sys/fs/cgroup")
    assert service.name == "/ramster.slice/ramsterd.service"
    assert service.folder == "/sys/fs/cgroup/ramster.slice/ramsterd.service"
    assert (service.protected_bytes, service.swap_bytes_max) == (577 * MIB, 0)
    assert (above.name, above.protected_bytes, above.swap_bytes_max) == ("/ramster.slice", 0, None)
    (bound,) = units.bounds_of(shown)
    assert (bound.name, bound.limit_bytes, bound.is_fatal) == (
        "MemoryHigh= of ramster.slice",
        1024 * MIB,
        False,
    )


def test_protection_without_a_limit_is_of_everything_and_what_is_unknown_is_none() -> None:
    levels = units.levels_of([changed(MemoryMin="infinity"), {"Id": "a.slice"}], "/sys/fs/cgroup")
    assert levels[0].protected_bytes > 1 << 50
    assert (levels[1].protected_bytes, levels[1].swap_bytes_max) == (0, None)
