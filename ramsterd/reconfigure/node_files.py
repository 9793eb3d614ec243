"""The files of a node that runs: read again, and changed by commands on exports.  Blocks.

A new text is judged before it is written.  A text that the daemon has not read is left alone: to go
on from it would also bring in what nobody has asked for.  New comments alone are no such change.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from config.differences import compare
from config.errors import ConfigError
from config.export_edits import ExportEdit, edit_exports
from config.load import load_cluster, parse_daemon, read_file
from config.model import DaemonConfig, NodeConfig
from config.rules import suspicious_settings
from config.save import check_writable, save_text
from ramsterd.reconfigure.examine import Reread, judge_own, reread

# Keys that an error names.
_KEYS_SHOWN_MAX: Final = 3
READ_IT: Final = "type `ramsterctl config reload`, then repeat the command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change that may be written: the text before and after it, and what the latter says."""

    before: bytes
    after: bytes
    daemon: DaemonConfig
    # As a reload has it; `warnings` are new ones.
    found: Reread


class NodeFiles:
    """`ramsterd.toml` of a node that runs, and what it names."""

    def __init__(self, path: Path, node: NodeConfig) -> None:
        """Keep where it stands, and the entry of the node in the cluster file."""
        self.path: Final = path
        self._node = node

    def reread(self, running: DaemonConfig) -> Reread:
        """Read all of them again, given what the daemon runs with."""
        return reread(self.path, self._node, running)

    def propose(self, edit: ExportEdit, *, loaded: DaemonConfig, running: DaemonConfig) -> Proposal:
        """Return the change of the file, judged as `check-config` does; nothing is written.

        Args:
            edit: What is to change.
            loaded: What the file said when the daemon read it last.
            running: What of that the daemon runs with.

        Raises:
            ConfigError: The file may not be written, is wrong, says what the daemon has not read,
                or would be wrong after the change.
        """
        path = self.path
        check_writable(path)
        before = read_file(path)
        now = parse_daemon(before, path)
        self._check_loaded(loaded, now)
        after = edit_exports(before.decode(), now.export, edit, file=str(path)).encode()
        wanted = parse_daemon(after, path)
        old = judge_own(now, path, self._node, running)
        found = judge_own(wanted, path, self._node, running)
        known = {str(fault) for fault in old.faults}
        for fault in found.faults:
            if str(fault) not in known:
                raise fault
        warned = {*old.warnings, *self._suspicious(now)}
        warnings = (*self._suspicious(wanted), *found.warnings)
        new = tuple(each for each in warnings if each not in warned)
        found = replace(found, warnings=new)
        return Proposal(before=before, after=after, daemon=wanted, found=found)

    def _check_loaded(self, loaded: DaemonConfig, now: DaemonConfig) -> None:
        difference = compare(loaded, now)
        keys = [each.key for each in (*difference.applied, *difference.needs_restart)]
        if keys:
            shown = ", ".join(keys[:_KEYS_SHOWN_MAX])
            more = ", …" if len(keys) > _KEYS_SHOWN_MAX else ""
            found = f"changes that the daemon has not read ({shown}{more})"
            raise ConfigError(
                str(self.path), "", found, f"the file as the daemon has read it: {READ_IT}"
            )

    def _suspicious(self, daemon: DaemonConfig) -> list[str]:
        try:
            cluster = load_cluster(daemon.cluster)
        except ConfigError:
            return []  # of that file a reload and the start tell
        return [f"{self.path}: {each}" for each in suspicious_settings(daemon, cluster)]

    def write(self, proposal: Proposal) -> str:
        """Write a change; return what an operator should know of it, or an empty text.

        Raises:
            ConfigError: The file has changed meanwhile, or can't be written; it is as it was.
        """
        path, after = self.path, proposal.after
        if read_file(path) != proposal.before:
            expected = "the file as it was when the command began: " + READ_IT
            raise ConfigError(str(path), "", "a change made meanwhile", expected)
        if after == proposal.before:
            return ""
        try:
            save_text(path, after.decode())
        except ConfigError as error:
            if read_file(path) != after:
                raise
            # Only the folder was not synced.  What a power cut takes back, it takes with the pages.
            return f"{error}; the file has the change, and may be the old one after a power cut"
        return ""
