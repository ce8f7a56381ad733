"""The store's fixtures."""

from tests.fixtures_store import store

__all__ = ["store"]
