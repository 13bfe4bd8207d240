"""Mends of a prediction that its checks refuse: one file a mend in `vccapp/submission/mend/`.

    mended = mend(path, out, SEASONS["vcc2025"])
    mended.steps, mended.results

Nothing is changed in place: the cells stream to a new h5ad, which appears when it is whole. Mends run in their order,
each where the checks ask for it; then the new file is checked, and mended again where that shows something else. What
cannot be put right without guessing is refused by its mend, and the reason stands in `refused`. A mend is a class:

    @MENDS.register("drop_controls")
    class DropControls(Mend):
        label = "Leave controls out"
        order = 40
        def apply(self, draft) -> str | None: ...   # change the draft and say so; None: there is nothing to do
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Unpack

from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import require_new, scratch_folder, write_file
from vccapp.data.resources import require_disk
from vccapp.errors import CheckError, SpecError
from vccapp.progress import Progress, part, silent
from vccapp.registry import Registry
from vccapp.seasons.base import Season
from vccapp.submission.check import CheckResult, Expected, examine
from vccapp.submission.mending.draft import Donor, Draft, write_draft
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.wording import name_some

MENDS = Registry[type["Mend"]]("mend", package="vccapp.submission.mend")

MAX_ROUNDS = 4
"""Files written until all is right: labels, then values, then what these showed."""
VALUE_BYTES, CELL_BYTES = 8, 60


class Step(BaseModel):
    """What one mend did, or why it could not."""

    model_config = ConfigDict(frozen=True)

    name: str
    label: str
    message: str


class Mended(BaseModel):
    """A new file: what was done, what was asked for and is not safe, and the checks of the new file."""

    model_config = ConfigDict(frozen=True)

    path: Path
    steps: tuple[Step, ...]
    refused: tuple[Step, ...]
    results: tuple[CheckResult, ...]

    @property
    def passes(self) -> bool:
        return all(result.status != "failed" for result in self.results)


class Mend(ABC):
    """One mend. `name` is what it is registered as. Mends run by `order`, the smaller first."""

    label: ClassVar[str]
    order: ClassVar[int]
    safe: ClassVar[bool] = True
    """False for one that is done only where it is named."""
    once: ClassVar[bool] = True
    """False for one that may have work again after others have done theirs."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def apply(self, draft: Draft) -> str | None:
        """Change the draft and say what is done, in a sentence; None where there is nothing to do.

        Raises CheckError for what cannot be put right without guessing.
        """


def mend(
    path: Path,
    out: Path,
    season: Season,
    *,
    names: Sequence[str] | None = None,
    donor: Donor | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **expected: Unpack[Expected],
) -> Mended:
    """Write `path`, an h5ad or a .vcc, as the h5ad `out`, with all that the checks ask for mended, if that is safe.

    names : of mends, only these; None: every safe one
    donor : data whose control cells are added, or stand in for missing genes
    Raises SpecError where `out` exists, a mend is unknown, or there is nothing to do; CheckError where nothing that the
    checks ask for can be done; and what `run_checks` raises.
    """
    require_new(out, suffix=".h5ad", what="Mended predictions")
    mends = sorted((MENDS[name](name) for name in (MENDS if names is None else names)), key=lambda mend: mend.order)
    mends = [mend for mend in mends if mend.safe or names is not None]
    steps: dict[str, Step] = {}
    refused: dict[str, Step] = {}
    with scratch_folder(out.parent) as folder:
        current = path
        if path.suffix == ".vcc":
            current = unpack_vcc(path, Path(folder) / "given.h5ad", season, progress=part(progress, 0.0, 0.1))
        for number in range(MAX_ROUNDS):
            reading = part(progress, 0.1 + 0.2 * number, 0.2 + 0.2 * number)
            context, results = examine(current, season, progress=reading, **expected)
            draft = Draft(context, {result.name: result for result in results}, donor, seed)
            done = _apply([mend for mend in mends if not (mend.once and mend.name in steps)], draft, refused)
            if not done:
                break
            target = Path(folder) / f"{number}.h5ad"
            size = context.file.n_values * VALUE_BYTES + draft.n_cells * CELL_BYTES
            require_disk(target.parent, size, purpose=f"Mending {name_some([path.name])}")
            write_draft(draft, target, progress=part(progress, 0.2 + 0.2 * number, 0.3 + 0.2 * number))
            if current != path:
                current.unlink()
            current = target
            steps |= {step.name: step for step in done}
        else:
            results = examine(current, season, **expected)[1]
        if not steps:
            raise _nothing(path, results, list(refused.values()))
        with write_file(out, new=True) as beside:
            os.replace(current, beside)
    refused = {name: step for name, step in refused.items() if name not in steps}
    return Mended(path=out, steps=tuple(steps.values()), refused=tuple(refused.values()), results=tuple(results))


def _apply(mends: Sequence[Mend], draft: Draft, refused: dict[str, Step]) -> list[Step]:
    """What was done to the draft; what was refused is kept in `refused`."""
    done = []
    for mend in mends:
        refused.pop(mend.name, None)
        try:
            message = mend.apply(draft)
        except CheckError as error:
            refused[mend.name] = Step(name=mend.name, label=mend.label, message=str(error))
            continue
        if message is not None:
            done.append(Step(name=mend.name, label=mend.label, message=message))
    return done


def _nothing(path: Path, results: Sequence[CheckResult], refused: Sequence[Step]) -> SpecError | CheckError:
    """Why no file was written."""
    name = name_some([path.name])
    failed = [result for result in results if result.status == "failed"]
    if refused:
        return CheckError("cannot_mend", f"{name} cannot be mended safely. {refused[0].message}", found=len(failed))
    if failed:
        return CheckError(
            "cannot_mend",
            f"No mend puts right what is wrong with {name}: {failed[0].message.rstrip('.')}",
            found=len(failed),
            fix=f"{failed[0].fix[:1].lower()}{failed[0].fix[1:].rstrip('.')}",
        )
    return SpecError("nothing_to_mend", f"There is nothing to mend in {name}", fix="package it as it is")
