"""A season that a user wrote: two contexts, 50 cells of each target, counts without controls."""

from pathlib import Path
from typing import Any

GENES = tuple(f"GENE{i}" for i in range(60))
FIELDS: dict[str, Any] = {
    "name": "contest",
    "label": "A contest",
    "genes": "genes.txt",
    "targets": ["GENE1", "GENE2"],
    "contexts": ["K562", "RPE1"],
    "cells_per_target": 50,
    "max_cells": 1000,
    "controls": "forbidden",
    "spaces": ["counts"],
    "container": "h5ad",
    "metrics": "2026",
}


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def write_season(folder: Path, *, listed: tuple[str, ...] = GENES, more: str = "", **fields: Any) -> Path:
    """The TOML and its genes (`listed`). fields : instead of FIELDS, None leaves one out; more : lines below them"""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "genes.txt").write_text("\n".join(listed) + "\n")
    said = {name: value for name, value in (FIELDS | fields).items() if value is not None}
    path = folder / "contest.toml"
    path.write_text("\n".join([*(f"{name} = {toml_value(value)}" for name, value in said.items()), more]) + "\n")
    return path
