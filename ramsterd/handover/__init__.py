"""Connections that outlive the process: what is written of them, given, and taken (docs/design/0016).

document   the records of sockets, as one process writes and the next one reads them
names      what descriptors are called on the way
parting    records and sockets on their way out
arrival    the same on their way in; nothing is taken twice
listening  a listening socket that comes from one process, and goes to the next
keeping    whether the next process will have the pages
"""
