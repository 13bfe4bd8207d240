"""Scores of pseudobulks and of files of cells, by our own computation."""
