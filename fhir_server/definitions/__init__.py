"""Interprets the artefacts: what is offered, and what a legal resource is."""
