import pytest

from ramsterd.core.page import PoolId, PoolKind
from ramsterd.core.store import Store
from tests.helpers.made_pages import make_store


@pytest.fixture
def store() -> Store:
    return make_store()


@pytest.fixture
def pool(store: Store) -> PoolId:
    return store.new_pool(PoolKind.PERSISTENT, "pool")


@pytest.fixture
def cache(store: Store) -> PoolId:
    return store.new_pool(PoolKind.EPHEMERAL, "cache")
