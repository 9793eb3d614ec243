"""The group of all commands: what was typed once or elsewhere gets a hint, and Ctrl-C has its status."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from ramsterd.cli.misplaced import OF_THIS_MACHINE, hint_for
from ramsterd.cli.output import INTERRUPTED

# What to type in place of an option that is gone.
GONE_OPTIONS: Final = {"--json": "-o json"}
# They end pages, or let them end: none is ever proposed.
DESTRUCTIVE_OPTIONS: Final = frozenset({"--force", "--forget"})
_WORDS: Final = "ramsterd.cli.words"


class RootGroup(click.Group):
    """Hears of every option that no command has."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options of the program itself."""
        ctx.meta[_WORDS] = tuple(args)
        with _hints(args):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Read the rest, and run it."""
        try:
            with _hints(ctx.meta[_WORDS]):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            # What was asked for continues without whom it was asked by.
            raise SystemExit(INTERRUPTED) from None


@contextmanager
def _hints(words: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except click.NoSuchOption as error:
        name = error.option_name
        if instead := GONE_OPTIONS.get(name):
            message = f"No such option: {name}. Type {instead} behind the command."
            raise click.UsageError(message, error.ctx) from None
        near = [each for each in error.possibilities or () if each not in DESTRUCTIVE_OPTIONS]
        if hint := _hint(error, words, has_near=bool(near)):
            raise click.UsageError(hint, error.ctx) from None
        raise click.NoSuchOption(name, possibilities=near, ctx=error.ctx) from None


def _hint(error: click.NoSuchOption, words: Sequence[str], *, has_near: bool) -> str:
    """Return where an option belongs; empty: nobody knows, or the command has one like it."""
    if error.ctx is None or error.ctx.parent is None:
        return ""
    _, *path = error.ctx.command_path.split()
    if has_near and path[0] in OF_THIS_MACHINE:
        return ""
    return hint_for(error.option_name, " ".join(path), words)
