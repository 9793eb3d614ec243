"""The manual page of a program, from its command line.  Every command has a place of its own in it."""

from collections.abc import Iterator

import click

from packages.manual import roff


def describe(program: str, command: click.Command) -> str:
    """Return the sections SYNOPSIS to COMMANDS of a program."""
    context = click.Context(command, info_name=program)
    leaves = list(_leaves(context))
    found = [
        roff.heading("synopsis"),
        roff.paragraph(f"`{_usage(context)}`"),
        roff.heading("description"),
        roff.paragraphs(_help(command)),
        roff.heading("options"),
        *_options(context),
        roff.heading("commands"),
    ]
    for leaf in leaves:
        found += [
            roff.subheading(_usage(leaf)),
            roff.paragraphs(_help(leaf.command)),
            *_options(leaf),
        ]
    return "".join(found)


def summary(command: click.Command) -> str:
    """Return what a command does, as the title of a page: its first sentence."""
    sentence = " ".join(_help(command).split()).partition(". ")[0].removesuffix(".")
    return sentence[0].lower() + sentence[1:]


def _leaves(context: click.Context) -> Iterator[click.Context]:
    """Yield the commands that do something, in the order of `--help`, with the groups that say something of all theirs."""
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    if context.parent is not None:
        yield context
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None, name
        if not child.hidden:
            yield from _leaves(click.Context(child, info_name=name, parent=context))


def _usage(context: click.Context) -> str:
    return " ".join([context.command_path, *context.command.collect_usage_pieces(context)])


def _help(command: click.Command) -> str:
    return "\n\n".join(text for text in (command.help, command.epilog) if text)


def _options(context: click.Context) -> Iterator[str]:
    for param in context.command.get_params(context):
        record = param.get_help_record(context)
        # --help is the same for every command, and said once; an argument is in the text of its command.
        if record is not None and record[1] and (context.parent is None or record[0] != "--help"):
            yield roff.item([record[0]], record[1])
