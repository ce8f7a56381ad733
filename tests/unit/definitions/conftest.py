"""The registry of the project's own artefacts."""

import pytest

from fhir_server.definitions.loader import load
from fhir_server.definitions.registry import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What the checkout's artefacts declare."""
    return load()
