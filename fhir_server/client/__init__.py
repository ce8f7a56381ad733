"""An HTTP client of any FHIR R4 server: connection, reading of files, loading."""
