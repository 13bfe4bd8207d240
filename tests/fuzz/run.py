"""Gives damaged inputs to every command that takes them and to pages, and says how each ends.

    python tests/fuzz/run.py --n 3000 [--first 0] [--json out.json]

Each command runs in a child of this process, with a limit of memory and of time, in a workspace of its own. Jobs are
run there at once, so that what their check lets pass and their work refuses counts as late.
"""

import argparse
import collections
import importlib
import json
import os
import pkgutil
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
for place in (TESTS.parent, TESTS, TESTS / "support"):
    sys.path.insert(0, str(place)) if str(place) not in sys.path else None

from fuzz.damage import Case, Kit, make_case, write_files  # noqa: E402

TIMEOUT_S = 20.0
MEMORY_BYTES = 2 * 10**9
"""More than a child has at its start."""
MAX_MESSAGE = 300
LIBRARY = re.compile(
    r"\b(KeyError|ValueError|TypeError|IndexError|AttributeError|OSError|Errno|RuntimeError|AssertionError)\b"
    r"|0x[0-9a-f]{6,}|h5py|HDF5 error|[Uu]nable to (synchronously|open)|object at|Expecting (value|property)|pydantic"
    r"|Traceback"
)
BAD = ("traceback", "unexpected", "hang", "memory", "half-written", "long", "library", "died")


@dataclass(frozen=True)
class Outcome:
    """state : fine, refused, late, or one of BAD; said : the last of what was printed"""

    seed: int
    kind: str
    what: str
    command: str
    state: str
    said: str
    seconds: float


def build_kit(folder: Path) -> Kit:
    """A small workspace with a dataset, its index, a split, a run, a plan and a package; and good files beside it."""
    from vccapp.cli import app
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.splits.split import make_split, write_split
    from vccapp.data.workspace import register
    from vccapp.settings import Settings
    from vccapp.stats.building.build import build_index
    from vccapp.training import RunSpec, make_run_id, train

    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder)
    _use(folder / "base")
    settings = Settings()
    dataset = open_dataset(folder / "cells.h5ad")
    register(dataset, settings)
    build_index(dataset, settings.index_of(dataset.fingerprint))
    labels = list(dataset.cells["perturbation"].cat.categories)
    split = make_split(labels, name="first", dataset=dataset.fingerprint, ratio=(0.5, 0.25, 0.25))
    write_split(split, settings)
    params = {"embedding": str(folder / "vectors.csv")}
    spec = RunSpec(model="ridge", params=params, dataset=dataset.fingerprint, split="first")
    run = train(spec, settings, run_id=make_run_id(spec, now=datetime.now(UTC)))
    run_id = run.name
    shutil.copytree(settings.checkpoints / run_id, folder / "run")
    shutil.copy(settings.splits / "first.json", folder / "split.json")
    words = ["submit", "plan", "--run", run_id, "--counts", str(folder / "counts.csv"), "--practice", "--name", "sub"]
    app(words, standalone_mode=False)
    shutil.copytree(settings.submissions / "sub", folder / "plan")
    _run_jobs_here()
    app(["submit", "build", "sub"], standalone_mode=False)
    shutil.copy(next((settings.submissions / "sub").glob("*.vcc")), folder / "sub.vcc")
    shutil.rmtree(settings.submissions / "sub")
    return Kit(folder, dataset.fingerprint, run_id)


def _use(base: Path) -> None:
    os.environ |= {
        "VCCAPP_HOME": str(base / "workspace"),
        "VCCAPP_CHECKPOINTS": str(base / "checkpoints"),
        "VCCAPP_DATA_ROOTS": str(base.parent),
        "VCCAPP_MEMORY_GB": "1",
    }
    (base / "workspace").mkdir(parents=True, exist_ok=True)


class Late(Exception):
    """What the work refuses after its check has let it pass."""


def _run_jobs_here() -> None:
    """Jobs of commands run in this process, at once."""
    from vccapp.cli import data, train
    from vccapp.cli.submit import built

    def run_job(settings, task, **chosen):
        task.check(settings)
        try:
            return task.named(datetime.now(UTC)).run(settings, lambda fraction, message: None)
        except Exception as error:
            raise Late from error

    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("vccapp.cli") and hasattr(module, "run_job"):
            module.run_job = run_job
    assert data.run_job is built.run_job is train.run_job is run_job


def commands_of(case: Case, kit: Kit) -> Iterable[list[str]]:
    """What takes an input of this kind."""
    path = str(case.path)
    start = ["train", "start", "ridge", "--split"]
    plan = ["submit", "plan", "--run", kit.run, "--practice", "--name", "new", "--counts"]
    given = {
        "h5ad": [
            ["data", "describe", path],
            ["data", "index", path],
            ["eval", "import", path, "--dataset", kit.dataset],
            ["submit", "check", path, "--practice", "--dataset", kit.dataset],
            ["submit", "package", path, "--practice", "--output", f"{path}.vcc"],
            ["eval", "metrics", str(kit.folder / "cells.h5ad"), path],
            ["page", "pages/data.py", "data_path", path],
        ],
        "zarr": [
            ["data", "describe", path],
            ["data", "index", path],
            ["eval", "import", path, "--dataset", kit.dataset],
            ["page", "pages/data.py", "data_path", path],
        ],
        "csv": [
            [*plan, path],
            ["data", "simulate", f"{path}.h5ad", "--counts", path],
            ["submit", "check", str(kit.folder / "sub.vcc"), "--practice", "--counts", path],
        ],
        "genes": [
            [*plan, str(kit.folder / "counts.csv"), "--genes", path],
            ["submit", "check", str(kit.folder / "sub.vcc"), "--practice", "--genes", path],
            ["data", "simulate", f"{path}.h5ad", "--cells", "200", "--genes", path],
        ],
        "json": [["split", "show", path], [*start, path], ["split", "list"]],
        "toml": [["toml", path, kit.dataset]],
        "checkpoint": [
            ["train", "list"],
            ["eval", "compare", "--run", kit.run],
            [*plan, str(kit.folder / "counts.csv")],
            ["train", "resume", kit.run],
            ["page", "pages/submit.py"],
        ],
        "plan": [["submit", "list"], ["submit", "build", "sub"], ["page", "pages/submit.py"]],
        "vcc": [["submit", "check", path, "--practice"]],
        "embedding": [[*start, "first", "--set", f"embedding={path}"]],
    }
    return given[case.kind]


def run_case(seed: int, kit: Kit, folder: Path, *, every: bool = True, limit: float = TIMEOUT_S) -> list[Outcome]:
    """All commands of the case of a seed, or one of them by turns."""
    place = folder / f"{seed}"
    case = make_case(seed, kit, place)
    commands = list(commands_of(case, kit))
    chosen = commands if every else [commands[(seed // 12) % len(commands)]]
    outcomes = []
    for words in chosen:
        base = place / "base"
        shutil.copytree(kit.folder / "base", base)
        if case.kind == "checkpoint":
            shutil.rmtree(base / "checkpoints" / kit.run)
            shutil.copytree(case.path, base / "checkpoints" / kit.run, symlinks=True, copy_function=_copy)
        if case.kind == "plan":
            shutil.copytree(case.path, base / "workspace/submissions/sub", symlinks=True, copy_function=_copy)
        outcomes.append(_run(seed, case, words, base, limit))
        shutil.rmtree(base)
    shutil.rmtree(place, ignore_errors=True)
    return outcomes


def _copy(source: str, target: str, **about: object) -> None:
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _files(base: Path) -> set[str]:
    """What a failed command must not leave: anything but the log and the store of jobs."""
    own = ("app.log", "jobs", "jobs.db", "converted")
    every = (path.relative_to(base) for path in base.rglob("*") if path.is_file() or path.is_symlink())
    return {str(path) for path in every if not any(part.startswith(own) for part in path.parts)}


def _run(seed: int, case: Case, words: list[str], base: Path, limit: float) -> Outcome:
    before, output, start = _files(base), base.parent / "output.txt", time.perf_counter()
    child = os.fork()
    if child == 0:
        _child(words, base, output)
    status, hung = 0, False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.perf_counter() - start > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            hung = True
            break
        time.sleep(0.005)
    text = output.read_text(errors="replace") if output.exists() else ""
    left = sorted(_files(base) - before)
    state, said = _judge(text, -1 if hung else os.waitstatus_to_exitcode(status), hung, left, str(base.parent))
    return Outcome(seed, case.kind, case.what, " ".join(words[:3]), state, said, time.perf_counter() - start)


def _judge(text: str, code: int, hung: bool, left: list[str], folder: str) -> tuple[str, str]:
    errors = [line for line in text.splitlines() if line.startswith("Error: ")]
    said = (errors[-1] if errors else text.strip()[-400:]).replace(folder, "")
    if hung:
        return "hang", said
    if "Traceback (most recent" in text:
        return "traceback", text[-1500:]
    if "MEMORY" in text or code in (-9, 137):
        return "memory", said
    if code < 0:
        return "died", f"signal {-code}: {said}"
    if "something unexpected" in said.lower():
        return "unexpected", said
    if code == 0 or not errors:  # a report, of checks that failed or not
        return "fine", ""
    if len(said) > MAX_MESSAGE:
        return "long", said
    if LIBRARY.search(said):
        return "library", said
    late = "LATE\n" in text
    if late and all(path.startswith("checkpoints") for path in left):  # a run that says that it failed, and why
        return "late", said
    if left:
        return "half-written", f"{left[:3]} {said}"
    return ("late" if late else "refused"), said


def _child(words: list[str], base: Path, output: Path) -> None:
    """Run a command or a page here, and end."""
    code = 70
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        _use(base)
        lines = Path("/proc/self/status").read_text().splitlines()
        used = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
        special: dict[str, Callable[..., int]] = {"page": _page, "toml": _toml}
        code = special[words[0]](*words[1:]) if words[0] in special else _command(words)
    except MemoryError:
        print("MEMORY")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(words: list[str]) -> int:
    from vccapp import cli
    from vccapp.errors import VccAppError

    try:
        try:
            cli.app(args=words, prog_name="vccapp")
        except Late as late:
            print("LATE")
            raise (late.__cause__ or late) from None
    except SystemExit as end:
        return int(end.code or 0)
    except MemoryError:
        raise
    except VccAppError as error:
        print(f"Error: {error}")
        return 2
    except Exception as error:
        import traceback

        from vccapp.faults import describe

        code, sentence = describe(error)
        print(f"Error: {sentence}")
        if code == "unexpected":
            print("\n".join(traceback.format_exc().splitlines()[-6:]).replace("Traceback", "Trace"))
        return 1
    return 0


def _toml(path: str, dataset: str) -> int:
    from vccapp.data.splits.toml import from_toml
    from vccapp.errors import VccAppError
    from vccapp.textfiles import read_text

    try:
        names = [f"GENE{i}" for i in range(4)]
        from_toml(read_text(Path(path)), perturbations=names, name="new", dataset=dataset)
    except VccAppError as error:
        print(f"Error: {error}")
        return 2
    return 0


def _page(file: str, *query: str) -> int:
    from streamlit.testing.v1 import AppTest

    from vccapp.ui.kit import loaders

    if hasattr(loaders, "current_settings") and hasattr(loaders.current_settings, "clear"):
        loaders.current_settings.clear()
    page = AppTest.from_file(str(TESTS.parent / file), default_timeout=10 * TIMEOUT_S)
    if query:
        page.query_params[query[0]] = query[1]
    page.run()
    for error in page.exception:
        print("Traceback (most recent call last)", error.value, error.stack_trace)
    said = [error.value for error in page.error]
    for sentence in said:
        print(f"Error: {sentence}")
    return 2 if said else 0


def _build_apart(folder: Path) -> Kit:
    """The kit, built by a child: zarr starts a thread where it is used, which children of this process would lack."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kit = build_kit(folder)
            (folder / "kit.json").write_text(json.dumps([kit.dataset, kit.run]))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.waitpid(child, 0)
    dataset, run_id = json.loads((folder / "kit.json").read_text())
    return Kit(folder, dataset, run_id)


def preload() -> None:
    """What children need, imported once, and the process that opens files for pages."""
    from streamlit.testing.v1 import AppTest  # noqa: F401

    from vccapp import cli, evaluation, figures, models, submission, tasks, training, ui
    from vccapp.data.stores.bounded import start_opener

    for name in ("anndata.io", "zarr", "torch", "vccapp.data.reading.opening", "vccapp.data.reading.predicted"):
        importlib.import_module(name)
    for package in (cli, evaluation, figures, models, submission, tasks, training, ui):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    start_opener()
    _run_jobs_here()


def run(
    seeds: Iterable[int], folder: Path, *, every: bool = True, limit: float = TIMEOUT_S, tell: bool = False
) -> list[Outcome]:
    """The outcomes of the cases of these seeds. limit : seconds of a command before it is said to hang"""
    kit = _build_apart(folder / "kit")
    preload()
    outcomes = []
    for done, seed in enumerate(seeds, 1):
        found = run_case(seed, kit, folder / "cases", every=every, limit=limit)
        outcomes += found
        for outcome in found:
            if tell and outcome.state in (*BAD, "late"):
                where = f"{outcome.seed} {outcome.state}: {outcome.command} ({outcome.kind}, {outcome.what})"
                print(f"\n{where}\n  {outcome.said}", flush=True)
        if tell and done % 100 == 0:
            print(done, dict(collections.Counter(outcome.state for outcome in outcomes)), flush=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--limit", type=float, default=TIMEOUT_S, help="seconds; more on a machine that is busy")
    parser.add_argument("--one", action="store_true", help="one command for each input, by turns")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = range(args.first, args.first + args.n)
        outcomes = run(seeds, Path(folder), every=not args.one, limit=args.limit, tell=True)
    table = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        table[outcome.kind][outcome.state] += 1
        table["all"][outcome.state] += 1
    for kind, states in table.items():
        print(kind, dict(states))
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:5]
    print("slowest:", *(f"{outcome.seed} {outcome.command} {outcome.seconds:.1f} s;" for outcome in slowest))
    if args.json:
        args.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    sys.exit(any(outcome.state in BAD for outcome in outcomes))


if __name__ == "__main__":
    main()
