"""Building the index: one pass over the cells, one over the genes, here or on a cluster."""
