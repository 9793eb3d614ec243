"""The control socket: commands of `ramsterctl`, and their answers."""
