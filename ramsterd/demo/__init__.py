"""`make demo`: three real daemons on this machine, and one archive's way through them.

Everything goes through the interfaces that operators use: configuration files, the NBD socket, the
control socket, SIGTERM.

    __main__   signals first, then the command line
    command    options, exit status, clean-up
    main_job   what the demo does, in order, and what it then claims
    archive    real files as one tar archive
    cluster    three daemons, from their folder to their end
    report     progress and table
    stopping   Ctrl-C as an exception
"""
