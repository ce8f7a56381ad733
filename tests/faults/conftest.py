"""Fixtures that several tests of this folder share."""

from tests.fixtures_events import clinic, event_services, processes, receiver

__all__ = ["clinic", "event_services", "processes", "receiver"]
