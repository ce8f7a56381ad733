"""From a committed change to its subscribers (https://hl7.org/fhir/R4/subscription.html)."""
