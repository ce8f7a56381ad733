"""FHIR's interactions, one module for each (https://hl7.org/fhir/R4/http.html)."""
