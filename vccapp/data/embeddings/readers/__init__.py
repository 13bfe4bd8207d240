"""Readers of files of gene vectors, one file each; see `base`."""
