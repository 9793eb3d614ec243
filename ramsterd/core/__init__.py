"""The local store.  Pure, synchronous; knows no other node."""
