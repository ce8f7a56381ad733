"""A load and correctness harness for any FHIR R4 server that does scheduling."""
