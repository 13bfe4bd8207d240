"""A data file, opened and checked: its tables, its columns, its values, and its cells by blocks."""
