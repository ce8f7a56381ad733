"""MongoDB and Redis of our own, and the supervision of every process on one machine."""
