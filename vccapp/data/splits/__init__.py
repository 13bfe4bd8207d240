"""Splits: what a model learns from and is judged by, and their form in STATE's TOML."""
