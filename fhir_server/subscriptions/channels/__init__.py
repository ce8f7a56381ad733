"""The ways by which a notification leaves, one module for each channel type."""
