"""Membership: changes of the cluster, which incarnations are believed, and this node's own."""
