"""The group of all commands: what was typed once, and is typed otherwise now, gets a hint; and Ctrl-C has its status."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import click

from ramsterd.cli.output import INTERRUPTED

# What to type in place of an option that is gone.
GONE_OPTIONS: Final = {"--json": "-o json"}


class RootGroup(click.Group):
    """Hears of every option that no command has."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options of the program itself."""
        with _hints():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Read the rest, and run it."""
        try:
            with _hints():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            # What was asked for continues without whom it was asked by.
            raise SystemExit(INTERRUPTED) from None


@contextmanager
def _hints() -> Iterator[None]:
    try:
        yield
    except click.NoSuchOption as error:
        if (instead := GONE_OPTIONS.get(error.option_name)) is None:
            raise
        message = f"No such option: {error.option_name}. Type {instead} behind the command."
        raise click.UsageError(message, error.ctx) from None
