"""How hypothesis looks for examples: properties are of what happens, not of how long it takes.

Runs without its plugin, such as those of tests/selftest, do not import it: that is half of what their start would cost.
"""

import pytest


# Before its own plugin, which loads the profile that the command line names.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.hasplugin("hypothesispytest"):
        return
    from hypothesis import settings  # noqa: PLC0415  # see above

    # Machines are slow when they are busy.
    settings.register_profile("ramster", deadline=None)
    # `make test ARGS='tests/properties --hypothesis-profile thorough'`: twenty times as many examples.
    settings.register_profile("thorough", deadline=None, max_examples=2000)
    settings.load_profile("ramster")
