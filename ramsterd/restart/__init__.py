"""How the daemon ends: by which order, with what loss, or in a restart that clients do not see.

orders      signals
ending      what ends with the daemon, for the log
restarter   `ramsterctl restart`: refused, or begun
departure   all clients come to an edge, and their sockets are collected
handover    what the daemon took over at its start, and leaves at its end
giving      the descriptors go to the service manager, or to the next program of this process
"""
