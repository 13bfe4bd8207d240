"""Calibration: how long the curves of all knobs take after one of them was moved.

    python tools/twin.py twin.h5ad --like FOLDER ... --cells 6000      # 150 perturbations x 18,080 genes
    vccapp data index twin.h5ad                                        # then a split without test part, folds, and runs
    python benchmarks/calibrate.py RUN                                 # writes results/calibrate.json

RUN is a finished run of the workspace; its fellows count too. Seconds of wall and of processor time: opening, the first
curves, and each knob moved in turn, to values at which nothing is known yet.
"""

import argparse
import resource
import time

from kit.measure import describe_machine, write_results

from vccapp.evaluation.calibration.curves import draw_curves
from vccapp.models.calibration.setting import Setting
from vccapp.settings import open_settings
from vccapp.stats.index import load_index
from vccapp.training import list_runs, load_run
from vccapp.training.choosing.calibrate import OpenedPool, find_fellows, find_held_out, open_pool

MOVES = {"amplitude": 0.85, "shared": 0.35, "components": 4, "target_level": 0.25, "shrinkage": 0.45}


def measure(opened: OpenedPool, setting: Setting) -> dict[str, float]:
    start, before = time.perf_counter(), time.process_time()
    draw_curves(opened.pool, setting, opened.references)
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    settings = open_settings()
    run = load_run(parser.parse_args().run, settings)
    index = load_index(settings.index_of(run.spec.dataset))
    start = time.perf_counter()
    opened = open_pool(index, find_held_out(run, find_fellows(run, list_runs(settings))))
    opening = time.perf_counter() - start
    draw_curves(opened.pool, Setting(amplitude=0.5), opened.references)  # compiled
    found, setting = {"first": measure(opened, Setting())}, Setting()
    for knob, value in MOVES.items():
        setting = setting.model_copy(update={knob: value})
        found[knob] = measure(opened, setting)
    size = {"perturbations": len(opened.pool.labels), "genes": len(index.genes), "opening_seconds": opening}
    size["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    for name, times in found.items():
        print(f"{name:14} {times['seconds']:6.2f} s   {times['cpu_seconds']:6.2f} s of processors")
    write_results("calibrate", {"machine": describe_machine(["numpy", "numba"]), **size, "moves": found})


if __name__ == "__main__":
    main()
