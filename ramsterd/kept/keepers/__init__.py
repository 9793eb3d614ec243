"""Who keeps the mappings between two processes.

keeper           what a keeper is; one that keeps nothing
systemd_keeper   the descriptor store of the service manager
tmpfs_keeper     a folder on a tmpfs
lock             one process at a time
"""
