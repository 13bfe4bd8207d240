"""Results entered by hand: kept as they were read, changed, deleted, and refused where they cannot be right."""

from datetime import date
from pathlib import Path

import pytest
from custom_season import write_season
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from refusals import refusal

from vccapp.errors import SpecError
from vccapp.seasons.base import SEASONS
from vccapp.seasons.opened import open_season
from vccapp.settings import Settings
from vccapp.training.results.entered import (
    EnteredResult,
    delete_result,
    list_results,
    load_result,
    make_result,
    make_result_id,
    write_result,
)

GOOD = {"id": "one", "date": "2025-11-02", "season": "vcc2025", "scores": {"des": 0.21, "overall": 14.2}}


@given(
    season=st.sampled_from(list(SEASONS)),
    data=st.data(),
    note=st.text(max_size=50),
    day=st.dates(date(2025, 1, 1), date(2027, 1, 1)),
)
@hypothesis_settings(max_examples=30)
def test_a_result_comes_back_as_it_was_entered(
    tmp_path_factory: pytest.TempPathFactory, season: str, data: st.DataObject, note: str, day: date
) -> None:
    settings = Settings(home=tmp_path_factory.mktemp("entered"))
    scores = data.draw(
        st.dictionaries(
            st.sampled_from(SEASONS[season].judged), st.floats(allow_nan=False, allow_infinity=False), min_size=1
        )
    )
    result = make_result(settings, id=make_result_id(day), date=day, season=season, scores=scores, note=note)
    write_result(result, settings)
    assert load_result(result.id, settings) == result
    assert list_results(settings) == [result]


def test_results_are_changed_listed_and_deleted(settings: Settings) -> None:
    assert list_results(settings) == []
    write_result(make_result(settings, **GOOD), settings)
    write_result(make_result(settings, **GOOD | {"id": "two", "date": "2025-11-09"}), settings)
    write_result(make_result(settings, **GOOD | {"note": "with the larger encoder"}), settings)
    (settings.home / "entered" / "damaged.json").write_text("{")
    assert [(result.id, result.note) for result in list_results(settings)] == [
        ("two", ""),
        ("one", "with the larger encoder"),
    ]
    delete_result("two", settings)
    assert [result.id for result in list_results(settings)] == ["one"]
    delete_result("damaged", settings)
    assert not list_results(settings).unreadable
    with refusal(SpecError, "unknown_result"):
        delete_result("two", settings)
    assert not list((settings.home / "entered").glob(".*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": {}}, "at least one score"),
        ({"scores": {"des": float("nan")}}, "finite number"),
        ({"scores": {"jaccard": 0.3}}, "vcc2025 has no score jaccard; it has des, pds, mae, overall"),
        ({"scores": {"des": "much"}}, "scores.des"),
        ({"season": "2024"}, "season"),
        ({"phase": "last"}, "vcc2025 has no phase last; it has validation, final"),
        ({"date": "yesterday"}, "date"),
        ({"note": "x" * 501}, "note"),
        ({"id": "../one"}, "id"),
    ],
)
def test_a_wrong_result_is_one_sentence(change: dict, message: str, settings: Settings) -> None:
    with pytest.raises(SpecError) as error:
        make_result(settings, **GOOD | change)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_id_cannot_leave_its_folder(settings: Settings) -> None:
    for wrong in ("../one", "a/b", "", "."):
        with refusal(SpecError, "bad_result_id"):
            load_result(wrong, settings)


def test_a_file_of_the_first_version_is_still_read(settings: Settings) -> None:
    """As written by version 0.1.0."""
    folder = settings.home / "entered"
    folder.mkdir(parents=True)
    (folder / "20251102-a1b2c3.json").write_text(
        '{"id": "20251102-a1b2c3", "date": "2025-11-02", "season": "2026", "phase": "final", "scale": "scaled",\n'
        ' "scores": {"overall": 0.41}, "note": "our best", "run": "r1", "submission": "s1"}\n'
    )
    assert list_results(settings) == [
        EnteredResult(
            id="20251102-a1b2c3",
            date=date(2025, 11, 2),
            season="vcc2026",
            phase="final",
            scale="scaled",
            scores={"overall": 0.41},
            note="our best",
            run="r1",
            submission="s1",
        )
    ]


def test_results_of_a_season_of_ones_own(settings: Settings, tmp_path: Path) -> None:
    open_season(write_season(tmp_path), settings)
    result = make_result(settings, **GOOD | {"season": "contest", "phase": "main", "scores": {"jaccard": 0.3}})
    assert (result.season, result.phase) == ("contest", "main")
    assert make_result(settings, **GOOD | {"season": "2025"}).season == "vcc2025"
