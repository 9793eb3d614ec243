"""The NBD export: a disk whose sectors are pages of the cluster."""
