"""The store against a plain dict, whatever its callers and peers do, in whatever order."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.store_machine import StoreMachine, settings_of_machines


@pytest.mark.timeout(180)
def test_the_store_does_as_a_dict_does() -> None:
    run_state_machine_as_test(StoreMachine, settings=settings_of_machines())
