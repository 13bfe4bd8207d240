"""The official packager's own verdict on a prediction, beside ours: run as a command, in a folder that goes at the end.

    verdict = ask_official(h5ad, season, phase="validation", genes=genes, memory_bytes=8 * 10**9)
    verdict.accepted, verdict.said

Nothing of the tools is imported, nothing is uploaded and no token is asked for. The packager of 2026 has a dry run
(`vcc prep --dry-run`, the program `vcc` of vcc-cli on the PATH or at VCCAPP_VCC); that of 2025 (`cell-eval prep`, which
comes with the app) packages into that folder.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from vccapp.data.atomic import scratch_folder
from vccapp.data.resources import require_disk
from vccapp.errors import ResourceError, SpecError, one_line
from vccapp.evaluation.scorers.process import find_command, installed_version, run_logged
from vccapp.progress import Progress, part, silent
from vccapp.seasons.base import Season
from vccapp.submission.packing.archive import unpack_vcc
from vccapp.wording import bytes_text

MEMORY = {"vcc2025": 3.5, "vcc2026": 3.5}
"""Times the h5ad that the packager takes at its peak (measured: 3.4; 1.3 to 3.2 and 2 GB by vcc-cli's own rule)."""
PROGRAM_BYTES = 10**9
SAID = 300


class Verdict(BaseModel):
    """tool : name and version; said : its own words, in one line"""

    model_config = ConfigDict(frozen=True)

    tool: str
    accepted: bool
    said: str


def official_tool(season: Season) -> str:
    """Name and version of the packager of the season's container. Raises SpecError where there is none, or it is not
    installed."""
    return _tools(season)()


def ask_official(
    path: Path,
    season: Season,
    *,
    phase: str | None = None,
    genes: Sequence[str] | None = None,
    memory_bytes: int,
    progress: Progress = silent,
) -> Verdict:
    """Let the official packager look at an .h5ad, or at what is inside a .vcc.

    phase : of the season; genes : the official list, where the season does not bring it
    Raises SpecError where the tool or the lists that it needs are not there, ResourceError where it would take more
    memory or disk than there is.
    """
    tool, listed = official_tool(season), genes or season.genes
    if listed is None:
        raise SpecError("needs_genes", "The official packager needs the gene list", fix="give it with --genes")
    with scratch_folder() as name:
        folder = Path(name)
        inside = path if path.suffix != ".vcc" else unpack_vcc(path, folder / "in.h5ad", season, progress=progress)
        size = inside.stat().st_size
        needed = round(MEMORY[season.container.name] * size + PROGRAM_BYTES)
        if needed > memory_bytes:
            raise ResourceError(
                "memory",
                f"{tool} holds the file in memory: about {bytes_text(needed)}, "
                f"but {bytes_text(memory_bytes)} are allowed",
                fix="raise VCCAPP_MEMORY_GB, or rely on our checks",
            )
        (folder / "genes.csv").write_text("".join(f"{gene}\n" for gene in listed), encoding="utf-8")
        words = _words_2025 if season.container.name == "vcc2025" else _words_2026
        command = words(inside, folder, season, phase)
        if season.container.name == "vcc2025":
            require_disk(folder, 2 * size, purpose="The official packager")
        code, text = run_logged(command, folder / "log.txt", f"{tool} reads {path.name}", part(progress, 0.5, 1.0))
    return Verdict(tool=tool, accepted=code == 0, said=_sentence(text, accepted=code == 0))


def _tools(season: Season) -> Callable[[], str]:
    tools = {"vcc2025": _name_2025, "vcc2026": _name_2026}
    if season.container.name not in tools:
        raise SpecError(
            "no_official_tool",
            f"{season.label} is packed as {season.container.name}, which no official tool makes",
            fix="rely on our checks",
        )
    return tools[season.container.name]


def _name_2025() -> str:
    find_command("cell-eval")
    return f"cell-eval {installed_version('cell-eval')}"


def _name_2026() -> str:
    """`pip install vcc` is another project: its program is not taken for this one."""
    done = subprocess.run([_vcc(), "version", "--json"], capture_output=True, text=True, timeout=60, check=False)
    try:
        return f"vcc-cli {json.loads(done.stdout)['vcc']}"
    except (ValueError, KeyError, TypeError):
        raise _no_vcc() from None


def _vcc() -> str:
    beside = Path(sys.executable).with_name("vcc")
    found = os.environ.get("VCCAPP_VCC") or (str(beside) if beside.is_file() else shutil.which("vcc"))
    if not found or not Path(found).is_file():
        raise _no_vcc()
    return found


def _no_vcc() -> SpecError:
    return SpecError(
        "official_missing",
        "The official packager of 2026 is not installed",
        fix="run `pip install vcc-cli` (not vcc) in any environment, and name its program in VCCAPP_VCC",
    )


def _words_2025(h5ad: Path, folder: Path, season: Season, phase: str | None) -> list[str]:
    words = [str(find_command("cell-eval")), "prep", "-i", str(h5ad), "-g", str(folder / "genes.csv")]
    words += ["-o", str(folder / "out.vcc"), "-p", season.pert_col, "-n", season.control_label]
    return [*words, "--max-cell-dim", str(season.max_cells)]


def _words_2026(h5ad: Path, folder: Path, season: Season, phase: str | None) -> list[str]:
    chosen = season.phase(phase)
    quoted = ['"' + target.label.replace('"', '""') + '"' for target in chosen.targets]
    (folder / "perts.csv").write_text("\n".join(["target_gene", *quoted, ""]), encoding="utf-8")
    words = [_vcc(), "prep", str(h5ad), "-g", str(folder / "genes.csv"), "--perts", str(folder / "perts.csv")]
    words += ["-p", season.pert_col, "-n", season.control_label, "--contexts", ",".join(chosen.contexts)]
    words += ["--context-col", str(season.context_col), "--cells-per-pert", str(season.cells_per_target or -1)]
    return [*words, "-o", str(folder / "out.vcc"), "--dry-run", "--json"]


def _sentence(text: str, *, accepted: bool) -> str:
    """The tool's own words: its JSON's error, or the last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "error" in found:
            return one_line(str(found["error"]))[:SAID]
    if accepted:
        return "It accepts the file."
    return one_line(lines[-1])[:SAID] if lines else "It gives no reason."
