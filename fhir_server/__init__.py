"""A FHIR R4 server whose reason to exist is appointments."""

__version__ = "0.1.0"
