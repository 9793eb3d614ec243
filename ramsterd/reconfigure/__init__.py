"""From configuration files to running parts: judged, made, and applied again on a reload."""
