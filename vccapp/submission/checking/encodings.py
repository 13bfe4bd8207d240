"""What of an h5ad the official packager's reader, anndata without plug-ins, would not read: names and encodings alone.

Nothing of the arrays is read. The rules are anndata's own: each object is looked up in its registry of readers.
"""

from pathlib import Path
from typing import Any

import h5py

from vccapp.data.stores.files import filter_numbers, open_store, reading
from vccapp.wording import name_some

PARTS = {"X", "layers", "obs", "obsm", "obsp", "raw", "uns", "var", "varm", "varp"}
"""What stands at the root of an AnnData file; anndata refuses any other name."""
BUILT_IN = {*range(1, 7), 32_000}
"""HDF5 filters that every h5py brings: gzip, shuffle, checksum, szip, two packings, and LZF."""
MAX_OBJECTS = 10_000
"""A file of one matrix and two tables has some thirty."""
ALIGNED = {"layers": (0, 1), "obsm": (0,), "obsp": (0, 0), "varm": (1,), "varp": (1, 1)}
"""Which sides of X (0 cells, 1 genes) the first sides of what these groups hold must fit."""


def find_unreadable(path: Path) -> list[str]:
    """What the official packager would not read, each as 'NAME (reason)'; empty where it reads the file.

    Raises DataError when HDF5 itself cannot read it.
    """
    with reading(path), open_store(path) as store:
        found = _root(store)
        objects = _objects(store)
        if len(objects) >= MAX_OBJECTS:
            return [*found, f"the file ({MAX_OBJECTS:,} parts and more)"]
        found += [f"{name} ({reason})" for name, item in objects if (reason := _why_unread(item))]
        return found + _misaligned(store)


def find_unsigned(path: Path) -> list[str]:
    """The pointers and columns of X that are stored without sign: the packager of 2026 fails on them."""
    with reading(path), open_store(path) as store:
        names = [name for name in ("X/indptr", "X/indices") if name in store]
        return [name for name in names if store[name].dtype.kind == "u"]


def _root(store: h5py.File) -> list[str]:
    found = [f"{name} (anndata knows no such part)" for name in store if name not in PARTS]
    spec = _spec(store)
    if spec not in (("anndata", "0.1.0"), ("", "")):
        found.insert(0, f"the file ({_say(spec)})")
    return found


def _objects(store: h5py.File) -> list[tuple[str, Any]]:
    """Names and objects below the root; links are not followed."""
    objects: list[tuple[str, Any]] = []

    def keep(name: str, item: Any) -> bool | None:
        objects.append((name, item))
        return True if len(objects) >= MAX_OBJECTS else None

    store.visititems(keep)
    return objects


def _why_unread(item: Any) -> str:
    """Why anndata has no reader for an object; "" where it has one."""
    from anndata.experimental import read_dispatched

    if isinstance(item, h5py.Dataset) and (strange := set(filter_numbers(item)) - BUILT_IN):
        return f"compressed with HDF5 filter {min(strange)}, which needs a plug-in"
    try:
        read_dispatched(item, lambda func, name, elem, iospec: None)
    except Exception:  # anndata's own class for it is not public; nothing but the registry was asked
        return _say(_spec(item))
    return ""


def _misaligned(store: h5py.File) -> list[str]:
    """Parts whose sides are not those of X."""
    x = _shape(store.get("X"))
    if len(x) != 2:
        return []
    found = []
    for group, sides in ALIGNED.items():
        for name, item in store[group].items() if isinstance(store.get(group), h5py.Group) else ():
            shape = _shape(item)
            if shape and shape[: len(sides)] != tuple(x[side] for side in sides):
                found.append(f"{group}/{name} ({' x '.join(map(str, shape))}, X is {x[0]} x {x[1]})")
    return found


def _shape(item: Any) -> tuple[int, ...]:
    """Of an array, of a sparse matrix, or the rows of a table; empty where it has none."""
    if isinstance(item, h5py.Dataset):
        return tuple(map(int, item.shape or ()))
    if item is None:
        return ()
    if "shape" in item.attrs:
        return tuple(map(int, item.attrs["shape"]))
    index = item.get(str(item.attrs.get("_index", "")))
    return _shape(index)[:1] if isinstance(index, h5py.Dataset) else ()


def _spec(item: Any) -> tuple[str, str]:
    """The encoding that an object says it has, and its version; "" where it says none."""
    kind, version = (item.attrs.get(name, "") for name in ("encoding-type", "encoding-version"))
    return str(kind), str(version)


def _say(spec: tuple[str, str]) -> str:
    kind, version = spec
    if not kind:
        return "without encoding-type"
    return f"stored as {name_some([kind])} {version}" if version else f"{name_some([kind])} without encoding-version"
