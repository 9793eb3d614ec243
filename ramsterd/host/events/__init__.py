"""What happened to this node lately, for `ramsterctl events`.

ring          the last events, by number                       pure
recorder      a handler of the root logger: a line with a kind is an event
"""
