"""Deciding a submission before a cell of it exists: its cells, what they cost, how two plans differ."""
