"""The command lines `ramsterd` and `ramsterctl`."""
