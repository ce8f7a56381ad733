"""The HTTP surface of FHIR: routing, negotiation, responses (https://hl7.org/fhir/R4/http.html)."""
