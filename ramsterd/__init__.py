"""The daemon: wires everything and owns the page path."""
