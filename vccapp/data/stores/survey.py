"""A survey of an HDF5 file before it is read: links that lead out of it, and the filters that its arrays need.

A path that lies in the data roots is no promise about what is read through it: external links, external storage and
virtual datasets read other files. So every link and every array is looked at, once (a file of the same size and times
is not looked at again).
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vccapp.data.stores.access import Access
from vccapp.errors import DataError

if TYPE_CHECKING:
    import h5py

MAX_OBJECTS = 200_000
"""Links and arrays that are looked at: an AnnData file has some hundreds."""
MAX_FILES = 100
"""Files that one leads to."""

State = tuple[str, int, int, int, int, int]


@dataclass(frozen=True)
class Survey:
    """links : (place in the file, name of the other file); filters : numbers of the HDF5 filters of all arrays"""

    links: tuple[tuple[str, str], ...]
    filters: frozenset[int]


def check_links(file: "h5py.File", access: Access) -> None:
    """Raises DataError for a link that leaves the file, unless its target lies in the roots; loads the package of
    further compressions (zstd, blosc, ...) where the file needs one that HDF5 lacks.
    """
    import h5py

    _check(Path(file.filename), file, access, seen=set())
    if not all(map(h5py.h5z.filter_avail, _survey(file).filters)):
        import hdf5plugin  # noqa: F401  (importing it registers the filters)


def find_linked(path: Path) -> list[Path]:
    """The other files that an HDF5 file reads from; none where it cannot be opened."""
    import h5py

    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return [target for _, name in _survey(file).links for target in _targets(path, name) if target.is_file()]
    except OSError:
        return []


def _check(path: Path, file: "h5py.File", access: Access, *, seen: set[Path]) -> None:
    import h5py

    seen.add(path.resolve())

    for where, name in _survey(file).links:
        own = path.resolve()
        found = [target for target in _targets(path, name) if os.path.lexists(target) and target.resolve() != own]
        if not found or len(seen) > MAX_FILES or not all(map(access.admits, found)):
            raise DataError(
                "link_outside",
                f"{_short(where)} is a link to another file, {_short(name)}",
                found=name,
                fix="write the values themselves, or move the target into VCCAPP_DATA_ROOTS",
            )
        for target in found:
            if target.resolve() not in seen and target.is_file() and h5py.is_hdf5(target):
                with h5py.File(target, "r", locking="best-effort") as other:
                    _check(target, other, access, seen=seen)


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"...{name[-77:]}"


def _targets(path: Path, name: str) -> list[Path]:
    """Where HDF5 looks for a file: as named, beside the file, in the current folder, and by its bare name."""
    return list(dict.fromkeys([path.parent / name, Path.cwd() / name, path.parent / Path(name).name]))


def _survey(file: "h5py.File") -> Survey:
    path = Path(file.filename).absolute()
    state = path.stat()
    key = (str(path), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return _survey_of((*key, state.st_ctime_ns))


@lru_cache(maxsize=64)
def _survey_of(state: State) -> Survey:
    """state : the path, and what is another where the file is."""
    import h5py

    with h5py.File(state[0], "r", locking="best-effort") as file:
        arrays, filters = _look_at_arrays(file)
        return Survey((*_look_at_groups(file), *arrays), filters)


def _look_at_groups(file: "h5py.File") -> list[tuple[str, str]]:
    import h5py

    found: list[tuple[str, str]] = []
    seen = 0

    def visit(name: bytes, info: "h5py.h5l.LinkInfo") -> None:
        nonlocal seen
        seen += 1
        _check_number(seen)
        if info.type == h5py.h5l.TYPE_EXTERNAL:
            found.append((_text(name), _text(file.id.links.get_val(name)[0])))
        elif info.type not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
            found.append((_text(name), "a link of unknown kind"))

    file.id.links.visit(visit, info=True)
    return found


def _look_at_arrays(file: "h5py.File") -> tuple[list[tuple[str, str]], frozenset[int]]:
    import h5py

    found: list[tuple[str, str]] = []
    filters: set[int] = set()
    seen = 0

    def visit(name: bytes, info: "h5py.h5o.ObjInfo") -> None:
        nonlocal seen
        seen += 1
        _check_number(seen)
        if info.type != h5py.h5o.TYPE_DATASET:
            return
        plan = h5py.h5d.open(file.id, name).get_create_plist()
        if plan.get_layout() == h5py.h5d.VIRTUAL:
            sources = {plan.get_virtual_filename(i) for i in range(plan.get_virtual_count())}
            found.extend((_text(name), source) for source in sorted(sources) if source != ".")
        for i in range(plan.get_external_count()):
            found.append((_text(name), _text(plan.get_external(i)[0])))
        filters.update(plan.get_filter(i)[0] for i in range(plan.get_nfilters()))

    h5py.h5o.visit(file.id, visit, info=True)
    return found, frozenset(filters)


def _check_number(seen: int) -> None:
    if seen > MAX_OBJECTS:
        raise DataError(
            "too_many_objects",
            f"it holds more than {MAX_OBJECTS:,} groups and arrays, which an AnnData file does not",
            fix="write obs, var and X alone",
        )


def _text(name: bytes | str) -> str:
    return name if isinstance(name, str) else os.fsdecode(name)
