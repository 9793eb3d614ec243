"""`ramsterctl node set`: a member is at another address."""

import click

from ramsterd.cli.ask import Ask
from ramsterd.cli.membership_file import finish
from ramsterd.cli.output import OUTPUT_OPTION, Output, warn
from ramsterd.cli.target import Target


def set_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command("set")
    @click.argument("name")
    @click.option("--address", help="Its new IP address or host name.")
    @click.option("--port", type=int, help="The new port of its link (TCP) and heartbeat (UDP).")
    @OUTPUT_OPTION
    @click.pass_obj
    def set_node(
        target: Target, name: str, address: str | None, port: int | None, output: Output
    ) -> None:
        """Move node NAME to another address or port.  It need not restart, and all pages stay.

        All members write the change into their cluster.toml.  The node listens at the new address
        as soon as its machine has it, and at the old one until then.  The others link to it at the
        new address, and keep the old link until that works: so a wrong address interrupts nothing.
        """
        if address is None and port is None:
            raise click.UsageError("found no option, expected --address, --port or both")
        result = ask(target, "node-set", name=name, address=address, port=port)
        warn(result["warnings"])
        finish(ask, target, result, output)

    return set_node
