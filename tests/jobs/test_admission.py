"""Which waiting job starts: never more than the machine, in order, and none for ever."""

from hypothesis import given
from hypothesis import strategies as st

from vccapp.jobs.job import Job
from vccapp.jobs.keeping.admission import Decision, Limits, choose
from vccapp.tasks.base import Needs

GB = 10**9


def job(name: str, *, memory: int = 0, threads: int = 2, gpus: int = 0, after: tuple[str, ...] = ()) -> Job:
    fields = dict.fromkeys(("started", "ended", "heartbeat", "pid", "pid_created", "exit_code", "result"))
    return Job(
        id=name,
        task="t",
        title=name,
        params={},
        state="queued",
        fraction=0,
        message="",
        created=0.0,
        error_code="",
        reason="",
        after=after,
        needs=Needs(memory_bytes=memory, threads=threads, gpus=gpus),
        **fields,
    )


def ask(queued: list[Job], claimed: list[Job], **limits) -> Decision:
    known = {"slots": 2, "memory_bytes": 4 * GB, "threads": 4} | limits
    return choose(queued, claimed, Limits(**known), states={}, titles={})


def test_two_of_the_planned_memory_do_not_run_together():
    found = ask([job("b", memory=4 * GB)], [job("a", memory=4 * GB)])
    assert found.start is None and "memory" in found.waits["b"]
    assert ask([job("b", memory=9 * GB)], []).start.id == "b"  # alone: its own check has refused it, or it is unknown


def test_a_light_job_runs_beside_one_that_has_all_processors_and_overtakes():
    heavy, next_heavy, light = job("a", threads=4), job("b", threads=4), job("c", threads=1)
    found = ask([next_heavy, light], [heavy])
    assert found.start.id == "c" and "processors" in found.waits["b"]
    assert ask([next_heavy, job("d", threads=1)], [heavy, light]).start is None


def test_what_follows_other_work_takes_no_slot():
    assert ask([job("d", threads=0)], [job("a"), job("b")]).start.id == "d"
    assert ask([job("b")], [job("d", threads=0), job("a")]).start.id == "b"


def test_gpus_are_handed_out_once():
    held = job("a", threads=1, gpus=1).model_copy(update={"gpus": ("0",)})
    found = ask([job("b", threads=1, gpus=1)], [held], gpus=("0", "1"))
    assert (found.start.id, found.gpus) == ("b", ("1",))
    assert "GPU" in ask([job("b", threads=1, gpus=2)], [held], gpus=("0", "1")).waits["b"]
    assert ask([job("b", threads=1, gpus=1)], []).start.id == "b"  # without a GPU it works on the processors


def test_order_after_others():
    waiting = job("b", after=("a",))
    for state, started in (("running", None), ("queued", None), ("succeeded", "b")):
        found = choose([waiting], [], Limits(2, GB, 4), states={"a": state}, titles={"a": "A"})
        assert (found.start.id if found.start else None) == started and not found.never
    for states in ({"a": "failed"}, {"a": "lost"}, {"a": "stopped"}, {}):
        assert set(choose([waiting], [], Limits(2, GB, 4), states=states, titles={"a": "A"}).never) == {"b"}


NEEDS = st.builds(
    job, st.just(""), memory=st.integers(0, 5).map(lambda n: n * GB), threads=st.integers(0, 4), gpus=st.integers(0, 2)
)


@given(st.lists(NEEDS, max_size=8), st.integers(1, 4), st.randoms())
def test_together_they_never_exceed_the_machine_and_all_run_in_the_end(needs, slots, rng):
    limits = Limits(slots, 4 * GB, 4, ("0", "1"))
    queued = [one.model_copy(update={"id": str(i), "title": str(i)}) for i, one in enumerate(needs)]
    claimed: list[Job] = []
    order: list[int] = []
    while queued or claimed:
        found = choose(queued, claimed, limits, states={}, titles={})
        if found.start is None:
            assert claimed, "nothing runs and nothing starts"
            assert set(found.waits) == {one.id for one in queued}
            claimed.remove(rng.choice(claimed))
            continue
        queued = [one for one in queued if one.id != found.start.id]
        claimed.append(found.start.model_copy(update={"gpus": found.gpus}))
        order.append(int(found.start.id))
        held = [one for one in claimed if one.needs.threads]
        assert len(held) <= slots
        gpus = [gpu for one in claimed for gpu in one.gpus]
        assert len(gpus) == len(set(gpus))
        if len(held) > 1:
            assert sum(one.needs.memory_bytes for one in held) <= 4 * GB
            assert sum(one.needs.threads for one in held) <= 4 + 1
    heavy = [i for i in order if needs[i].needs.threads > 1]
    assert heavy == sorted(heavy)
