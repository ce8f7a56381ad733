"""The commands of fhir-server, one module for each, loaded when asked for."""
