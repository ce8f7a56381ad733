"""Scheduling rules as pure decisions over a `plan.View`; the store applies what they return."""
