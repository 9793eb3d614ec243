"""What is wrong with the files of this node.  Pure."""

import shlex
from typing import Final

from ramsterd.health.codes import Code, Finding, err, warn
from ramsterd.health.facts import Facts, Past
from ramsterd.host.validity import Validity, format_span, judge_validity

_RENEW: Final = "where the CA is: ramsterctl cluster renew --from DIR --out renewed"
_MAKE_ROOM: Final = (
    "make room there: bytes, or inodes (df -i); if df does not answer, repair the disk"
)
_AGAIN: Final = "ramsterd tries again each second"
_REMOVE_THE_CAUSE: Final = (
    "remove the cause first: a disk without room, a quota, rights on the folder, a change by hand"
)


def unwritten(facts: Facts, past: Past) -> Finding | None:
    """Return whether a file of this node can't be written; an error if clients notice."""
    del past
    files = facts.files
    if files.state_problem:
        return err(
            Code.UNWRITTEN,
            "first writes to blank exports are refused: the state file can't be written",
            details=(files.state_problem, _MAKE_ROOM, _AGAIN),
            command=f"df {shlex.quote(files.state_dir)}",
        )
    if files.members_unwritten:
        return warn(
            Code.UNWRITTEN,
            "the present members are not in the cluster file of this node",
            details=(files.members_unwritten, _REMOVE_THE_CAUSE),
            command="ramsterctl config reload",
        )
    if files.members_unwritable:
        return warn(
            Code.UNWRITTEN,
            "the next change of the members can't be written to the cluster file of this node",
            details=(files.members_unwritable, _MAKE_ROOM),
            # Of the file, which may be a link to another disk than that of its folder.
            command=f"df {shlex.quote(files.cluster_file)}",
        )
    return None


def cert_expired(facts: Facts, past: Past) -> Finding | None:
    """Return whether the certificate of this node has ended."""
    del past
    seconds = facts.files.certificate_seconds
    if seconds is None or judge_validity(seconds) is not Validity.ENDED:
        return None
    return err(
        Code.CERT_EXPIRED,
        f"no new links: the certificate of this node expired {format_span(-seconds)} ago",
        command=_RENEW,
    )


def cert_expiring(facts: Facts, past: Past) -> Finding | None:
    """Return whether the certificate of this node ends soon."""
    del past
    seconds = facts.files.certificate_seconds
    if seconds is None or judge_validity(seconds) is not Validity.ENDING:
        return None
    return warn(
        Code.CERT_EXPIRING,
        f"the certificate of this node expires in {format_span(seconds)}; then it gets no new links",
        command=_RENEW,
    )
