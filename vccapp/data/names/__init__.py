"""What the names in a file mean: genes by all their names, labels of controls, of pairs, and of cells without a call."""
