"""What is wrong with a node, as a fixed set of codes: judged, watched and muted without a clock or a socket."""
