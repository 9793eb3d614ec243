"""A container image, as an OCI layout in one tar file: made of this Debian's files, without a registry and without a daemon."""
