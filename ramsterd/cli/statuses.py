"""Exit statuses: all of them, in one place, for `--help`, manual pages and documents.  Pure."""

from typing import Final

from ramsterd.cli.output import EX_CONFIG, EX_UNAVAILABLE, INTERRUPTED

# What a status says, of every command that says nothing else of it.
STATUSES: Final = {
    0: "done, or nothing to do",
    1: "refused or failed, as one line on standard error says",
    2: "the command line is wrong",
    EX_UNAVAILABLE: "of `health`: the daemon does not answer",
    EX_CONFIG: "the configuration is wrong, or the machine does not fit it",
    INTERRUPTED: "Ctrl-C; what has begun in the daemon continues",
}
# Commands for which a status says something else, or more.
OF_COMMANDS: Final[dict[str, dict[int, str]]] = {
    "ramsterctl health": {
        0: "OK",
        1: "there are warnings",
        2: "there are errors",
        EX_UNAVAILABLE: "the daemon does not answer",
    },
    "ramsterctl doctor": {
        0: "all is ok",
        1: "there are warnings",
        2: "there are errors, or the command line is wrong",
    },
    "ramsterctl events": {
        0: "done, also after Ctrl-C",
        1: "refused or failed; with --cluster, a member says nothing",
    },
    "ramsterctl top": {
        0: "done, also after q and Ctrl-C",
        1: "refused or failed; with --cluster --once, a member says nothing",
    },
    "ramsterctl node": {
        1: "refused, or in force and not written into cluster.toml of this node: standard error says which"
    },
    "ramsterctl node drain": {
        0: "done; with --detach it has begun; with --dry-run there is room",
        1: "cancelled, or not done at the deadline; with --dry-run there is no room; or as for `ramsterctl node`",
    },
    "ramsterctl job watch": {
        0: "the job is done",
        1: "it failed, was cancelled, or passed its deadline meanwhile; or there is no such job",
    },
    "ramsterctl job cancel": {
        1: "refused: it has ended, or can't be cancelled; nothing has changed"
    },
    "ramsterctl node remove": {1: "pages would be lost: the node stays a member, cordoned"},
    "ramsterctl memory set": {1: "refused, or shrinking stopped because no peer has room"},
    "ramsterctl config reload": {1: "a file has a mistake: nothing has changed"},
    "ramsterctl export": {
        1: "refused: ramsterd.toml and the daemon are as they were; or not done within 60 seconds"
    },
    "ramsterctl verify": {
        1: "a page is damaged, tables contradict each other, or it was cancelled"
    },
    "ramsterctl restart": {1: "refused, or no answer within 120 seconds"},
    "ramsterctl stop": {1: "refused, or the daemon has not ended within 120 seconds"},
    "ramsterctl nbd attach": {
        EX_CONFIG: "this machine could hang if it swaps to its own ramsterd: see `ramsterctl doctor --swap`"
    },
}
