"""Makes the kept memory of a node that was killed, with pages of every kind, and says what it has.

Own pages of each codec, same-filled ones, zeros of a disk, a lost page and flushed ones; here, at peers, and clean (both);
ephemeral pages; pages of another node.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from config.model import PoolCodec
from nodemanager.ids import Incarnation, NodeId
from ramsterd import __version__
from ramsterd.core import extents
from ramsterd.core.codec import checksum_of, encode_page
from ramsterd.core.family import Family
from ramsterd.core.foreign_pages import put_zpages
from ramsterd.core.leaving import Leaving, begin_leaving, end_leaving, keep_leaving
from ramsterd.core.page import OBJECT_ID_BYTES_MAX, PAGE_BYTES, PoolId, PoolKind
from ramsterd.core.pool_identity import PoolIdentity, export_pool, owner_pool, program_pool
from ramsterd.core.store import Store
from ramsterd.core.versions import StoreLimits
from ramsterd.kept.keepers.keeper import DESCRIPTOR_PREFIX, ProcessKeeper
from ramsterd.kept.layout import LAYOUT_VERSION, layout_hash
from ramsterd.kept.memory import KeptMemory
from ramsterd.kept.opening import Identity
from tests.helpers import columns
from tests.helpers.dropping import drop_run
from tests.helpers.made_pages import MIB, make_fill, make_page
from tests.kept_images.packed_image import pack

LIMITS: Final = StoreLimits(budget_bytes=MIB, budget_bytes_max=MIB, pages_max=4096)
IDENTITY: Final = Identity(
    cluster="rack7",
    node=3,
    node_name="gamma",
    boot_id=bytes(range(16)),
    memory_id=bytes(range(16, 32)),
)
INCARNATION: Final = Incarnation(1_700_000_000_000)
GENERATION: Final = "00112233445566778899aabbccddeeff"
HOLDERS: Final = {1: (NodeId(1), Incarnation(11)), 2: (NodeId(2), Incarnation(22))}
OWNER: Final = owner_pool(2, 22)

POOLS: Final = (
    (PoolKind.PERSISTENT, export_pool("swap0"), PoolCodec.LZ4),
    (PoolKind.PERSISTENT, export_pool("packed"), PoolCodec.ZSTD),
    (PoolKind.PERSISTENT, export_pool("plain"), PoolCodec.NONE),
    (PoolKind.PERSISTENT, program_pool("results", 1000), PoolCodec.LZ4),
    (PoolKind.EPHEMERAL, program_pool("cache", 1000), PoolCodec.LZ4),
    (PoolKind.PERSISTENT, OWNER, PoolCodec.LZ4),
    (PoolKind.EPHEMERAL, OWNER, PoolCodec.LZ4),
)  # fmt: skip
# Few bytes each, so that the image is small; one is kept raw.
PAGES: Final = [make_page(40 + seed, seed) for seed in range(6)]
RAW_PAGE: Final = make_page(PAGE_BYTES, 1)


class Making:
    """Fills a store, and notes what is where."""

    def __init__(self, memory: KeptMemory) -> None:
        self._memory = memory
        self.store: Store = memory.make_store(LIMITS, INCARNATION)
        for holder, (node, incarnation) in HOLDERS.items():
            memory.journal.on_holder_known(holder, node, incarnation)
        self.pools: list[dict[str, Any]] = []
        self.pages: list[dict[str, Any]] = []
        self.foreign: list[dict[str, Any]] = []

    def new_pool(self, kind: PoolKind, identity: PoolIdentity, codec: PoolCodec) -> PoolId:
        pool = self.store.new_pool(kind, identity, codec=codec)
        is_marked = kind is PoolKind.PERSISTENT and not identity.is_foreign
        if is_marked:
            self._memory.journal.filled(pool, GENERATION)
        self.pools.append({
            "pool": pool, "use": int(identity.use), "kind": kind.value, "codec": codec.value,
            "name": identity.name, "user": identity.user, "node": identity.node,
            "incarnation": identity.incarnation, "generation": GENERATION if is_marked else "",
        })  # fmt: skip
        return pool

    def put(self, pool: PoolId, object_id: bytes, index: int, pages: Iterable[bytes]) -> None:
        for number, page in enumerate(pages, index):
            assert self.store.put(pool, object_id, number, memoryview(page)) == 1
            self._note(pool, object_id, number, "here", page)

    def put_zeros(self, pool: PoolId, index: int, count: int) -> None:
        """Zeros of a disk, which need no page each."""
        assert extents.put_zeros(self.store, pool, b"", index, count) == count
        for number in (index, index + count // 2, index + count - 1):
            self._note(pool, b"", number, "here", bytes(PAGE_BYTES))

    def flush(self, pool: PoolId, object_id: bytes, index: int) -> None:
        assert drop_run(self.store, pool, object_id, index, 1) == 1
        self._note(pool, object_id, index, "hole", b"")

    def lose(self, pool: PoolId, object_id: bytes, index: int) -> None:
        """A put was refused: what stood there before must not be read."""
        assert self.store.refuse(pool, object_id, index, 1)
        self._note(pool, object_id, index, "lost", b"")

    def send(self, family: Family, *holders: int, is_kept: bool) -> None:
        """The oldest block of a family goes to peers; it stays here too, as a clean one, or does not."""
        block = self.store.zbud.oldest(family)
        assert block is not None
        leaving: Leaving = begin_leaving(self.store.versions, block)
        end = keep_leaving if is_kept else end_leaving
        assert end(self.store.versions, leaving, *holders) == []
        for row in leaving.rows:
            page_object, index = self.store.table.handle(self.store.rows.address(row))
            noted = self._find(page_object.pool, page_object.object_id, index)
            noted |= {"holders": list(holders), "serial": self.store.rows.serial(row)}
            noted["is"] = "here" if is_kept else "elsewhere"

    def put_foreign(self, pool: PoolId, serials: Iterable[int], pages: Iterable[bytes]) -> None:
        for serial, page in zip(serials, pages, strict=True):
            packed, zpage, checksum = encode_page(page)
            assert put_zpages(
                self.store,
                pool,
                *columns.of_zpages([serial], [checksum], [packed]),
                memoryview(zpage),
            )
            self.foreign.append({
                "pool": pool, "serial": serial, "packed": packed, "zpage": bytes(zpage).hex(),
                "checksum": checksum,
            })  # fmt: skip

    def _find(self, pool: PoolId, object_id: bytes, index: int) -> dict[str, Any]:
        name = object_id.hex()
        (found,) = [
            page
            for page in self.pages
            if (page["pool"], page["object"], page["index"]) == (pool, name, index)
        ]
        return found

    def _note(self, pool: PoolId, object_id: bytes, index: int, where: str, page: bytes) -> None:
        place = {"pool": int(pool), "object": object_id.hex(), "index": index}
        self.pages = [each for each in self.pages if not place.items() <= each.items()]
        checksum = checksum_of(page) if page else 0
        self.pages.append({**place, "is": where, "checksum": checksum, "holders": []})


def fill(making: Making) -> None:
    """Do everything that the manifest then tells of."""
    swap, packed, plain, named, cache, owned, cached = [
        making.new_pool(kind, identity, codec) for kind, identity, codec in POOLS
    ]
    # The first blocks leave: to one peer, to two, and to two with a copy here.
    making.put(swap, b"", 0, PAGES[:2])
    making.send(Family.OWN_PERSISTENT, 1, is_kept=False)
    making.put(swap, b"", 10, PAGES[:3])
    making.send(Family.OWN_PERSISTENT, 1, 2, is_kept=False)
    making.put(swap, b"", 20, PAGES[2:4])
    making.send(Family.OWN_PERSISTENT, 2, 1, is_kept=True)
    making.put(cache, b"far", 7, PAGES[4:])
    making.send(Family.OWN_EPHEMERAL, 2, is_kept=False)
    # What is here.
    making.put(swap, b"", 64, [*PAGES, RAW_PAGE, make_fill(7), bytes(PAGE_BYTES)])
    making.put(swap, b"", 64, [make_page(50, 99)])  # a second version
    making.put(swap, b"", 5_000_000, PAGES[:1])
    making.put_zeros(swap, 1 << 20, 100_000)
    making.flush(swap, b"", 66)
    making.flush(swap, b"", (1 << 20) + 50_000)
    making.put(packed, b"", 0, PAGES)
    making.put(plain, b"", 0, [*PAGES[:2], make_fill(9)])
    making.put(named, b"an object", 3, [*PAGES[:2], make_fill(1 << 63), bytes(PAGE_BYTES)])
    making.put(named, bytes(range(OBJECT_ID_BYTES_MAX)), 0, PAGES[:1])
    making.lose(named, b"an object", 4)
    making.put(cache, b"near", 0, PAGES[:3])
    making.put_foreign(owned, (5, 6, 900_000), [*PAGES[:2], make_page(700, 3)])
    making.put_foreign(cached, (7,), PAGES[:1])


def make_image(path: Path) -> None:
    """Write an image of this release."""
    keeper = ProcessKeeper()
    memory = KeptMemory(
        keeper, IDENTITY, new_memory_id=lambda: IDENTITY.memory_id or b"", now_seconds=1_700_000_000
    )
    making = Making(memory)
    fill(making)
    making.store.check_invariants()
    assert making.store.versions.take_owed() == {}
    files = {name.removeprefix(DESCRIPTOR_PREFIX): fd for name, fd in memory.descriptors}
    pack(path, files, _manifest(making))
    memory.close()


def _manifest(making: Making) -> dict[str, Any]:
    assert IDENTITY.memory_id is not None
    return {
        "release": __version__,
        "layout_version": LAYOUT_VERSION,
        "layout_hash": layout_hash(),
        "cluster": IDENTITY.cluster,
        "node": IDENTITY.node,
        "node_name": IDENTITY.node_name,
        "boot_id": IDENTITY.boot_id.hex(),
        "memory_id": IDENTITY.memory_id.hex(),
        "incarnation": INCARNATION,
        "budget_bytes": LIMITS.budget_bytes,
        "pages_max": LIMITS.pages_max,
        "holders": [[holder, *who] for holder, who in HOLDERS.items()],
        "pools": making.pools,
        "pages": making.pages,
        "foreign": making.foreign,
    }
