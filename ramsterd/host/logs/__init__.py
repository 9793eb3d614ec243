"""How log lines leave the daemon: few enough to be read, and without ever holding up the loop.

Modules only log, with a constant text and arguments.  What that costs is decided here, in one
place:

    limiter       which lines are said, and which are only counted     pure
    line_queue    what waits to be written, and what does not fit      pure
    texts         how a line looks on a terminal and in the journal
    json_lines    how it looks for programs that collect logs
    levels        which subsystem says how much                        pure
    locking       the lock of a handler
    handler       the handler of the root logger: all of these together
    writer        the thread that writes
    streams       sys.stderr and sys.stdout, for what does not log but prints
    log           the handler and all loggers at the levels that are wanted
    setup         the start
"""
