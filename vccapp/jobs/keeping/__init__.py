"""The queue at work: one keeper a machine starts what may start, and finds out what became of it."""
