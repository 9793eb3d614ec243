"""Which command of `ramsterctl` prints what with `-o json`: a schema for each, and one of `--cluster`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final, get_type_hints

from config.event_kinds import EventKind
from config.model import LOG_SUBSYSTEMS, NodeConfig
from nodemanager.table import NodeRow
from packages.schema.types import Schema, any_of, list_of, map_of, object_of, schema_of
from ramsterd.admin.bench_rows import OPERATIONS
from ramsterd.core.audit import AuditStatistics
from ramsterd.core.resize import ResizeStatistics
from ramsterd.core.scrub import ScrubStatistics
from ramsterd.doctor.findings import State
from ramsterd.frontends.tmem.pool_records import PoolSnapshot
from ramsterd.handover.arrival import HandoverStatistics
from ramsterd.health.codes import Code
from ramsterd.health.machine import HealthStatistics
from ramsterd.host.events.ring import Severity as EventSeverity
from ramsterd.host.logs.levels import SubsystemLevel
from ramsterd.jobs.job import JobStatistics
from ramsterd.observe.drain_forecast import DrainForecast
from ramsterd.observe.snapshot import ConfigStatistics, DaemonStatistics, ExportSnapshot
from ramsterd.remote.holders.trust import TrustStatistics
from ramsterd.statefile.marks import Loss

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
TEXTS: Final = list_of(TEXT)


def properties_of(kind: type) -> dict[str, Schema]:
    """Return the schema of each field of a type."""
    hints = get_type_hints(kind)
    return {each.name: schema_of(hints[each.name]) for each in fields(kind)}


def changed_member(optional: Mapping[str, Schema] | None = None, **more: Schema) -> Schema:
    """Return what a command prints that changes the members."""
    return object_of(
        {
            "state": TEXT,
            "is_changed": FLAG,
            "node": schema_of(NodeConfig),
            "membership_version": COUNT,
            "membership_origin": TEXT,
            **more,
            "unwritten": TEXT,
        },
        optional=optional,
    )


def changed_export(state: str, export: Schema) -> Schema:
    """Return what a command prints that changes an export; `export` is how that stands then."""
    return object_of(
        {
            "state": {"const": state},
            "is_changed": FLAG,
            "name": TEXT,
            "export": export,
            "warnings": TEXTS,
        }
    )


VERSION: Final = object_of({"version": TEXT, "build": TEXT})
ERROR: Final = object_of({"error": TEXT})
MAYBE_COUNT: Final = any_of(COUNT, schema_of(type(None)))
MAYBE_TEXT: Final = any_of(TEXT, schema_of(type(None)))
BUDGET: Final = {
    **properties_of(ResizeStatistics),
    "budget_bytes": COUNT,
    "resident_bytes": COUNT,
    "foreign_bytes": COUNT,
}
LEVELS: Final = map_of(schema_of(SubsystemLevel), sorted(LOG_SUBSYSTEMS))
HEALTH_OF_A_NODE: Final = object_of({"node": TEXT, **properties_of(HealthStatistics)})
BLANK: Final = object_of({"state": TEXT})
MUTED: Final = object_of({"code": {"enum": [code.value for code in Code]}, "muted_seconds": NUMBER})

JOB: Final = object_of(
    {
        **properties_of(JobStatistics),
        "began_at": TEXT,
        "ended_at": MAYBE_TEXT,
        "deadline_at": MAYBE_TEXT,
    }
)
MAYBE_NUMBER: Final = any_of(NUMBER, schema_of(type(None)))
MAYBE_FLAG: Final = any_of(FLAG, schema_of(type(None)))
BENCH_ROW: Final = object_of(
    {
        "target": TEXT,
        "kind": {"enum": ["local", "peer", "socket", "path"]},
        "operation": {"enum": list(OPERATIONS)},
        "p50_seconds": MAYBE_NUMBER,
        "p90_seconds": MAYBE_NUMBER,
        "p99_seconds": MAYBE_NUMBER,
        "max_seconds": MAYBE_NUMBER,
        "operations": COUNT,
        "pages_per_second": MAYBE_NUMBER,
        "problem": TEXT,
    }
)

EVENT: Final[Mapping[str, Schema]] = {
    "number": COUNT,
    "time": {"type": "string", "format": "date-time"},
    "kind": {"enum": [kind.value for kind in EventKind]},
    "severity": {"enum": [each.value for each in EventSeverity]},
    "node": MAYBE_TEXT,
    "export": MAYBE_TEXT,
    "pool": MAYBE_TEXT,
    "text": TEXT,
    "fields": {"type": "object", "additionalProperties": {}},
}

# By the words of the command.
OF_COMMANDS: Final[Mapping[str, Schema]] = {
    "bench": object_of(
        {
            "ratio": NUMBER,
            "seconds": NUMBER,
            "bytes": COUNT,
            "rows": list_of(BENCH_ROW),
            "verdict": object_of(
                {
                    "text": TEXT,
                    "peer": MAYBE_TEXT,
                    "path": MAYBE_TEXT,
                    "times_as_fast": MAYBE_NUMBER,
                    "is_worth_it": MAYBE_FLAG,
                }
            ),
        }
    ),
    "config reload": schema_of(ConfigStatistics),
    "doctor": object_of(
        {
            "state": {"enum": [state.value for state in State]},
            "checks": list_of(
                object_of(
                    {
                        "check": TEXT,
                        "state": {"enum": [state.value for state in State]},
                        "risk": TEXT,
                        "found": TEXT,
                        "expected": TEXT,
                        "fix": TEXT,
                    }
                )
            ),
        }
    ),
    "events": object_of(EVENT),
    "export add": changed_export("added", schema_of(ExportSnapshot)),
    "export remove": changed_export("removed", schema_of(type(None))),
    "export reset": BLANK,
    "export resize": changed_export("resized", schema_of(ExportSnapshot)),
    "exports": object_of(
        {"exports": list_of(schema_of(ExportSnapshot)), "lost": list_of(schema_of(Loss))}
    ),
    "health": object_of(
        {
            "severity": properties_of(HealthStatistics)["severity"],
            "failure_tolerance_nodes": COUNT,
            "nodes": list_of(HEALTH_OF_A_NODE),
        }
    ),
    "health mute": MUTED,
    "health unmute": MUTED,
    "job cancel": JOB,
    "job watch": JOB,
    "jobs": object_of({"node": TEXT, "jobs": list_of(JOB)}),
    "log-level": LEVELS,
    "memory set": object_of(BUDGET),
    "memory show": object_of(
        {**BUDGET, "kinds": map_of(object_of({"zpages": COUNT, "zpage_bytes": COUNT}))}
    ),
    "nbd list": list_of(
        object_of(
            {
                "device": TEXT,
                "size_bytes": COUNT,
                "attached_to": TEXT,
                "helper": MAYBE_COUNT,
                "users": TEXTS,
            }
        )
    ),
    "node add": changed_member(),
    "node cordon": changed_member(),
    "node drain": changed_member(
        # How the job ended, if the command has waited for that.
        {"ended": JOB},
        is_reached=FLAG,
        pages_foreign=MAYBE_COUNT,
        pages_foreign_max=MAYBE_COUNT,
        pages_own_elsewhere=MAYBE_COUNT,
        pages_owned=MAYBE_COUNT,
        clients=MAYBE_COUNT,
        said_seconds=any_of(NUMBER, schema_of(type(None))),
        warnings=TEXTS,
        job=TEXT,
    ),
    "node remove": changed_member(lost=TEXTS, not_asked=TEXTS, warnings=TEXTS),
    "node set": changed_member(warnings=TEXTS),
    "node uncordon": changed_member(),
    "nodes": list_of(
        object_of(
            {
                **properties_of(NodeRow),
                "budget_bytes": MAYBE_COUNT,
                "refused_until": NUMBER,
                "trust": any_of(schema_of(TrustStatistics), schema_of(type(None))),
                "heartbeat_seconds": any_of(NUMBER, schema_of(type(None))),
            }
        )
    ),
    "pool reset": BLANK,
    "pools": list_of(schema_of(PoolSnapshot)),
    "restart": schema_of(HandoverStatistics),
    "status": schema_of(DaemonStatistics, has_names=True),
    "stop": object_of({"state": TEXT, "warnings": TEXTS}),
    "verify": object_of(
        {**properties_of(ScrubStatistics), "jobs": list_of(JOB)},
        optional={"tables": schema_of(AuditStatistics)},
    ),
    "version": object_of({"program": VERSION, "nodes": map_of(any_of(VERSION, ERROR))}),
}
# What a command prints instead with an option, by the name of the file.
WITH_OPTIONS: Final = {
    # An event, or why a member says nothing.
    "events-cluster.json": (
        "ramsterctl events --cluster -o json, each line",
        any_of(
            object_of({"reported_by": TEXT, **EVENT}),
            object_of({"reported_by": TEXT, "error": TEXT}),
        ),
    ),
    "node-drain-dry-run.json": (
        "ramsterctl node drain --dry-run -o json",
        object_of({"state": TEXT, **properties_of(DrainForecast)}),
    ),
}
# What `--cluster` prints is an object of these, by the name of the node.
BY_NODE: Final = ("exports", "jobs", "log-level", "memory show", "nodes", "pools", "status")


def documents() -> dict[str, Schema]:
    """Return every schema by the name of its file."""
    found = {}
    for command, schema in OF_COMMANDS.items():
        title = f"ramsterctl {command} -o json"
        if command == "events":
            title += ", each line"
        found[f"{command.replace(' ', '-')}.json"] = {"$schema": DIALECT, "title": title, **schema}
    for name, (title, schema) in WITH_OPTIONS.items():
        found[name] = {"$schema": DIALECT, "title": title, **schema}
    by_node = {command: {"$ref": f"{command.replace(' ', '-')}.json"} for command in BY_NODE}
    found["cluster.json"] = {
        "$schema": DIALECT,
        "title": f"ramsterctl {'|'.join(BY_NODE)} --cluster -o json",
        "$comment": "What a node says, or why it says nothing, by the name of the node.",
        **map_of(any_of(*by_node.values(), ERROR)),
    }
    return found
