"""Cells as models read them: chosen genes in memory, vectors of cells, preprocessed files."""
