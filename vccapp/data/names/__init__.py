"""What the names in a file mean: genes by all their names, controls, pairs, cells without a call."""
