"""The dashboard as Grafana imports it: a file of JSON."""

import json
from collections.abc import Iterator
from typing import Any, Final

from packages.monitoring.panels import CURVES, NUMBERS, Panel

# Of Grafana 9 and later: newer ones take it, and bring it up to date themselves.
SCHEMA_VERSION: Final = 37
# A dashboard is 24 columns wide.
_WIDTH: Final = 24
_NUMBER_HEIGHT: Final = 4
_CURVE_WIDTH: Final = 8
_CURVE_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> str:
    """Return the file."""
    made = {
        "uid": "ramster",
        "title": "ramster",
        "description": "Made by `make monitoring` from packages/monitoring.",
        "tags": ["ramster"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels()),
    }
    return json.dumps(made, indent=1) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    for name, label, more in (
        ("cluster", "Cluster", ""),
        ("instance", "Node", ', cluster=~"$cluster"'),
    ):
        query = f'label_values(up{{job="ramster"{more}}}, {name})'
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            # Also where targets have no such label.
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all", "selected": True},
        }


def _panels() -> Iterator[dict[str, Any]]:
    width = _WIDTH // len(NUMBERS)
    for place, panel in enumerate(NUMBERS):
        position = {"x": place * width, "y": 0, "w": width, "h": _NUMBER_HEIGHT}
        yield _panel(place + 1, panel, position)
    in_row = _WIDTH // _CURVE_WIDTH
    for place, panel in enumerate(CURVES):
        row, column = divmod(place, in_row)
        position = {
            "x": column * _CURVE_WIDTH,
            "y": _NUMBER_HEIGHT + row * _CURVE_HEIGHT,
            "w": _CURVE_WIDTH,
            "h": _CURVE_HEIGHT,
        }
        yield _panel(len(NUMBERS) + place + 1, panel, position)


def _panel(number: int, panel: Panel, position: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "stat" if panel.is_number else "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": position,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": panel.is_number,
                "range": not panel.is_number,
            }
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.is_number:
        defaults["thresholds"] = {"mode": "absolute", "steps": _steps(panel)}
    else:
        stacking = {"mode": "normal" if panel.is_stacked else "none", "group": "A"}
        defaults["min"] = 0
        defaults["custom"] = {"fillOpacity": 20 if panel.is_stacked else 0, "stacking": stacking}
    return defaults


def _steps(panel: Panel) -> list[dict[str, Any]]:
    if panel.bad_below is not None:
        return [{"color": "red", "value": None}, {"color": "green", "value": panel.bad_below}]
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    return steps if panel.bad_from is None else [*steps, {"color": "red", "value": panel.bad_from}]


def _options(panel: Panel) -> dict[str, Any]:
    if panel.is_number:
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
