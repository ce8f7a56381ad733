"""Logs and metrics: what operators see, never anything about a patient.

Log events have constant names and data in keywords; resource ids, queries and bodies stay out.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

import orjson
import structlog
from prometheus_client import REGISTRY as DEFAULT_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 10)
_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)

REQUESTS = Counter("fhir_server_requests", "Answered requests.", ["interaction", "type", "status"])
REQUEST_SECONDS = Histogram(
    "fhir_server_request_seconds",
    "Time from the request's arrival to the end of its answer.",
    ["interaction", "type"],
    buckets=_LATENCY_BUCKETS,
)
REFUSED_BOOKINGS = Counter(
    "fhir_server_slot_conflicts", "Writes refused because the time was taken.", ["type"]
)
GROUP_COMMIT_MEMBERS = Histogram(
    "fhir_server_group_commit_members",
    "Writes that were committed together.",
    buckets=_SIZE_BUCKETS,
)
COMMIT_RETRIES = Counter(
    "fhir_server_commit_retries", "Writes decided again after a conflict or a failure."
)


class RequestMeter:
    """Counts requests; remembers the labelled children, which are slow to look up."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, interaction: str, resource_type: str, status: int, seconds: float) -> None:
        """Count one answered request.

        Args:
            interaction: a code from the registry, never free text.
            resource_type: a served type or empty.
            status: HTTP status; only its class becomes a label.
            seconds: how long it took.
        """
        key = (interaction, resource_type, status // 100)
        found = self._children.get(key)
        if found is None:
            found = (
                REQUESTS.labels(interaction, resource_type, f"{key[2]}xx"),
                REQUEST_SECONDS.labels(interaction, resource_type),
            )
            self._children[key] = found
        found[0].inc()
        found[1].observe(seconds)


def metrics_text() -> bytes:
    """All metrics in Prometheus' text format; of every process in multiprocess mode."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(DEFAULT_REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def configure_logging(log_format: str, level: str) -> None:
    """Send structlog's and the standard library's records to standard error in one format.

    Args:
        log_format: `json` or `console`.
        level: debug, info, warning or error.
    """
    numeric = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        structlog.configure(
            processors=[*shared, structlog.processors.format_exc_info, _to_json_bytes],
            wrapper_class=structlog.make_filtering_bound_logger(numeric),
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
        renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    else:
        renderer = _line
        if sys.stderr.isatty():
            renderer = structlog.dev.ConsoleRenderer(
                exception_formatter=structlog.dev.plain_traceback
            )
        else:
            shared.append(structlog.processors.format_exc_info)
        structlog.configure(
            processors=[*shared, renderer],
            wrapper_class=structlog.make_filtering_bound_logger(numeric),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    _configure_standard_library(shared, renderer, numeric)


def _to_json_bytes(_logger: object, _name: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(event, default=str)


def _line(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
    """One plain line; costs a tenth of what the console's columns do, and every request pays it."""
    trace = event.pop("exception", "")
    start = f"{event.pop('timestamp')} {event.pop('level')} {event.pop('event')}"
    data = "".join([f" {key}={value}" for key, value in event.items() if value != ""])
    return f"{start}{data}\n{trace}" if trace else start + data


def _configure_standard_library(
    shared: list[structlog.types.Processor], renderer: structlog.types.Processor, level: int
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    # Every request is logged by us, with less about the patient than uvicorn's access log tells.
    logging.getLogger("uvicorn.access").disabled = True


@lru_cache(maxsize=1)
def request_meter() -> RequestMeter:
    """The process's meter."""
    return RequestMeter()
