"""The store against a plain dict, whatever its callers and peers do, in whatever order."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.store_machine import StoreMachine


def test_the_store_does_as_a_dict_does() -> None:
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            # Explaining a failure traces every line, which costs minutes here.
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
