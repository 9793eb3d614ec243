import pytest

from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.pool_identity import program_pool
from ramsterd.core.store import Store
from tests.helpers.dropping import drop_pool
from tests.helpers.made_pages import make_store
from tests.helpers.sending_node import SendingNode


@pytest.fixture
def store() -> Store:
    return make_store()


@pytest.fixture
def pool(store: Store) -> PoolId:
    return store.new_pool(PoolKind.PERSISTENT, program_pool("pool"))


@pytest.fixture
def cache(store: Store) -> PoolId:
    return store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))


@pytest.fixture
def node() -> SendingNode:
    return SendingNode()


@pytest.fixture
def cache_node() -> SendingNode:
    """Return a node whose only pool is ephemeral."""
    node = SendingNode()
    drop_pool(node.store, node.pool)
    node.pool = node.store.new_pool(PoolKind.EPHEMERAL, program_pool("cache"))
    return node
