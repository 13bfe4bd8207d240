"""Scorers of predicted cells, one file each: the official tools, and our own computations; see `base`."""
