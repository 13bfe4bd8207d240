"""The cells of a file in blocks: rows of CSR, CSC and dense matrices, and the part of them that is used."""
