"""Every page alone and within the app, on the demo, under AppTest; and the parts that pages share."""

import subprocess
import sys
from pathlib import Path

import pytest
from bad_inputs import BAD_INPUTS
from page_kit import HEAVY, Toy, assert_well, commands_of, open_alone, parse_command, show_toy_form, use
from places import ROOT
from streamlit.testing.v1 import AppTest

from vccapp.data.commands import count_folds, split_command
from vccapp.data.simulation.demo import sample_path, write_demo
from vccapp.data.splits.split import make_folds, make_split
from vccapp.data.workspace import list_datasets
from vccapp.jobs.store import JobStore
from vccapp.settings import Settings
from vccapp.submission.mending.kept import mended_folder
from vccapp.tasks.base import Task
from vccapp.tasks.demo import Demo
from vccapp.ui.kit.frame import HOME, PAGES, read_pages
from vccapp.ui.kit.jobs import duration_text

NAMES = sorted(path.stem for path in PAGES.glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_page_opens_alone(name: str, here: Settings) -> None:
    page = open_alone(name)
    assert_well(page)
    record = next(record for record in read_pages() if record.path.stem == name)
    assert [title.value for title in page.title] == [record.title]
    assert "SIMULATED" in page.main.caption[0].value


@pytest.mark.parametrize("name", NAMES)
def test_page_opens_within_the_app(name: str, here: Settings) -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30).run()
    assert_well(app)
    if name != HOME:
        app.switch_page(f"pages/{name}.py").run()
        assert_well(app)
    assert app.sidebar.selectbox(key="data").value == list_datasets(here)[0].fingerprint


def test_statistics_pages_draw_their_figures(here: Settings) -> None:
    one = {"pert_view": "One perturbation"}
    for name, params, n in (
        ("overview", {}, 5),
        ("genes", {}, 4),
        ("perturbations", {}, 2),
        ("perturbations", one, 5),
        ("similarity", {}, 4),
        ("compare", {}, 1),
        ("submit", {}, 1),
        ("splits", {}, 2),
    ):
        page = open_alone(name, **params)
        assert_well(page)
        charts = [*page.get("vega_lite_chart"), *page.get("plotly_chart")]
        assert len(charts) == n, (name, params)
        assert all(chart.proto.alt for chart in charts), name


@pytest.mark.parametrize("by", ["perturbation", "guide", "batch"])
def test_overview_shows_depth_by_every_kind_of_group(by: str, here: Settings) -> None:
    assert_well(open_alone("overview", over_by=by, over_number="genes"))


@pytest.mark.parametrize(("typed", "told"), [("myc", None), ("MYCC", "MYC"), ("", "no gene")])
def test_a_gene_is_typed(typed: str, told: str | None, here: Settings) -> None:
    page = open_alone("genes")
    page.text_input(key="gene").set_value(typed).run()
    assert_well(page)
    charts = [chart.proto.alt for chart in page.get("vega_lite_chart")]
    assert any("of MYC " in text for text in charts) == (told is None)
    assert [told in info.value for info in page.info] == ([] if told is None else [True])


def test_a_gene_by_batch_and_cumulative(here: Settings) -> None:
    page = open_alone("genes", gene="MYC", gene_by="Batches", gene_drawing="Cumulative")
    assert_well(page)
    assert page.multiselect(key="gene_batches").value


def test_choosing_a_row_opens_the_perturbation(here: Settings) -> None:
    page = open_alone("perturbations")
    assert not [box for box in page.selectbox if box.key == "pert"]
    page.session_state["pert"] = "MYC"
    page.session_state["pert_view"] = "One perturbation"
    page.run()
    assert_well(page)
    assert page.selectbox(key="pert").value == "MYC"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_a_page_shows_exists(name: str, here: Settings) -> None:
    params = {"data": {"data_path": str(sample_path()), "data_batch": "batch"}}.get(name, {})
    page = open_alone(name, **params)
    assert_well(page)
    commands = commands_of(page)
    assert commands
    for words in commands:
        parse_command(words)


def test_commands_say_what_the_page_does(here: Settings) -> None:
    [plan, build] = commands_of(open_alone("submit", sub_controls="12", sub_name="tuesday"))
    asked = parse_command(plan)
    assert (asked["controls"], asked["practice"], asked["counts"]) == (12, True, None)
    assert parse_command(build)["plan"] == asked["name"]
    [export] = commands_of(open_alone("perturbations", pert_fdr="0.01", pert_lfc="0.5"))
    asked = parse_command(export)
    assert (asked["fdr"], asked["min_abs_lfc"]) == (0.01, 0.5)
    describe, *_ = commands_of(open_alone("data", data_path=str(sample_path()), data_batch="batch"))
    assert parse_command(describe)["batch_column"] == "batch"


@pytest.mark.parametrize("ratio", [(0.64, 0.16, 0.2), (0.7, 0.0, 0.3), (1 / 3, 1 / 3, 1 / 3), (0.5, 0.05, 0.45)])
def test_the_command_of_a_split_makes_it_again(ratio: tuple[float, float, float], here: Settings) -> None:
    labels = [f"G{i}" for i in range(37)]
    [record] = list_datasets(here)
    made = make_split(labels, name="s", dataset=record.fingerprint, ratio=ratio, seed=3)
    asked = parse_command(split_command(made))
    again = make_split(labels, name="s", dataset=record.fingerprint, ratio=asked["ratio"], seed=asked["seed"])
    assert again == made


def test_the_command_of_folds_makes_them_again(here: Settings) -> None:
    labels = [f"G{i}" for i in range(10)]
    [record] = list_datasets(here)
    folds = make_folds(labels, name="f", dataset=record.fingerprint, k=4, seed=1)
    for fold in folds:
        names = ["other", *(own.name for own in folds)]
        asked = parse_command(split_command(fold, folds=count_folds(fold, names)))
        assert (asked["name"], asked["folds"], asked["seed"]) == ("f", 4, 1)


def test_a_link_reopens_the_view(here: Settings) -> None:
    page = open_alone("perturbations", pert="MYC", pert_fdr="0.01", pert_lfc="0.5")
    assert page.selectbox(key="pert").value == "MYC"
    assert page.select_slider(key="pert_fdr").value == 0.01
    assert page.slider(key="pert_lfc").value == 0.5


def test_a_link_to_unknown_data_says_so(here: Settings) -> None:
    page = open_alone("overview", data="0123456789abcdef")
    assert_well(page)
    [warning] = page.sidebar.warning
    assert "0123456789abcdef" in warning.value


def test_a_link_names_the_dataset_by_title_or_fingerprint(here: Settings) -> None:
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.workspace import register

    folder = register(open_dataset(sample_path()), here)
    records = list_datasets(here)
    assert len(records) == 2
    for record in records:
        for name in (record.title, record.fingerprint):
            page = open_alone("data", data=name)
            assert_well(page)
            assert page.sidebar.selectbox(key="data").value == record.fingerprint
            assert not page.sidebar.warning
    (folder / "dataset.json").unlink()


def test_changing_the_dataset_keeps_every_page_well(here: Settings) -> None:
    from vccapp.data.reading.opening import open_dataset
    from vccapp.data.workspace import register
    from vccapp.stats.building.build import build_index

    demo = list_datasets(here)[0].fingerprint
    sample = open_dataset(sample_path())
    build_index(sample, register(sample, here, simulated=False) / "index")
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    app.query_params["data"] = demo
    app.run()
    for name in NAMES:
        if name != HOME:
            app.switch_page(f"pages/{name}.py").run()
        app.sidebar.selectbox(key="data").select(sample.fingerprint).run()
        assert_well(app)
        assert "SIMULATED" not in app.main.caption[0].value
        app.sidebar.selectbox(key="data").select(demo).run()
        assert_well(app)
    for name, choices in (
        ("genes", {"gene": "NOGENE"}),
        ("perturbations", {"pert": "NOGENE"}),
        ("compare", {"cmp_runs": "x"}),
    ):
        assert_well(open_alone(name, data=demo, **choices))
    for name in ("train", "genes"):
        assert_well(open_alone(name, data=sample.fingerprint))
    (here.datasets / sample.fingerprint / "dataset.json").unlink()


def test_stricter_thresholds_count_fewer_degs(here: Settings) -> None:
    page = open_alone("perturbations")
    before = page.dataframe[0].value["degs"].sum()
    page.slider(key="pert_lfc").set_value(1.0).run()
    assert_well(page)
    assert 0 < page.dataframe[0].value["degs"].sum() < before


def test_search_narrows_the_genes(here: Settings) -> None:
    page = open_alone("genes", gene_search="sox2")
    assert "SOX2" in page.dataframe[0].value["gene"].tolist()
    assert all("SOX2" in gene for gene in page.dataframe[0].value["gene"])


def test_pasted_genes_are_compared_and_unknown_ones_named(here: Settings) -> None:
    page = open_alone("compare", cmp_genes="MYC, SOX2")
    assert_well(page)
    assert set(page.dataframe[-1].value["gene"]) == {"MYC", "SOX2"}


def test_bad_files_give_one_sentence_and_no_job(here: Settings) -> None:
    bad = here.home.parent / "bad.h5ad"
    bad.write_bytes(b"not an HDF5 file")
    for path in (bad, here.home.parent / "absent.h5ad", Path("/etc/passwd")):
        page = open_alone("data", data_path=str(path))
        assert not page.exception
        assert len(page.error) == 1
        assert not [button for button in page.button if button.key == "data_index"]


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_every_bad_input_is_one_sentence_on_the_page(name: str, here: Settings, tmp_path: Path) -> None:
    folder = here.home.parent / f"bad_{name}"
    folder.mkdir()
    path, columns = BAD_INPUTS[name](folder)
    before = sorted(here.home.rglob("*"))
    chosen = {f"data_{kind}": value for kind, value in columns.model_dump(exclude_none=True).items()}
    page = open_alone("data", data_path=str(path), **chosen)
    assert not page.exception
    [error] = page.error
    assert 20 < len(error.value) < 400 and "\n" not in error.value
    assert not [button for button in page.button if button.key == "data_index"]
    assert sorted(here.home.rglob("*")) == before


def test_an_index_that_does_not_fit_is_refused_before_it_starts(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_alone("data", data_path=str(sample_path()))
    assert {"Estimated time", "Memory", "Disk"} <= {metric.label for metric in page.metric}
    assert not page.button(key="data_index").disabled
    monkeypatch.setenv("VCCAPP_MEMORY_GB", "0.1")
    page = open_alone("data", data_path=str(sample_path()))
    [error] = page.error
    assert "VCCAPP_MEMORY_GB" in error.value
    assert page.button(key="data_index").disabled


def test_the_sample_opens_with_its_report(here: Settings) -> None:
    page = open_alone("data")
    page.button(key="data_sample").click().run()
    assert_well(page)
    assert "600 cells x 1,000 genes" in page.table[0].value.to_string()


def test_a_split_is_made_and_shown(here: Settings) -> None:
    page = open_alone("splits")
    page.text_input(key="split_name").set_value("mine")
    page.button(key="split_make").click().run()
    assert_well(page)
    assert page.selectbox(key="split").value == "mine"
    assert set(page.dataframe[0].value["part"]) == {"train", "val", "test"}


def test_a_budget_that_cannot_be_met_is_one_sentence(here: Settings) -> None:
    page = open_alone("submit")
    page.toggle(key="sub_practice").set_value(False).run()
    assert not page.exception
    [error] = page.error
    assert "18,080" in error.value


def test_a_missing_index_is_offered_and_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = use(Settings(home=tmp_path / "w", checkpoints=tmp_path / "c", data_roots=(tmp_path,)), monkeypatch)
    write_demo(settings)
    for name in NAMES:
        page = open_alone(name)
        assert_well(page)
        offered = [button.key for button in page.button if button.key == "start_index"]
        assert bool(offered) == (name not in {"data", "glossary", "jobs", "ledger", "runs", "settings"}), name


def test_the_first_start_makes_the_demo_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    settings = use(Settings(home=tmp_path / "w", checkpoints=tmp_path / "c", data_roots=(tmp_path,)), monkeypatch)

    def record_only(settings: Settings, task: Task, **_: object) -> object:
        started.append(task)
        with JobStore(settings) as store:
            return store.create(task)

    monkeypatch.setattr("vccapp.ui.kit.jobs.start_job", record_only)
    for name in NAMES:
        assert_well(open_alone(name))
    assert started == [Demo()]
    assert settings.home.is_dir()


def loaded_by(code: str) -> set[str]:
    """The packages that a process has loaded after this code."""
    code += "\nimport sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stdout.split())


@pytest.mark.slow
def test_pages_load_nothing_heavy(here: Settings) -> None:
    code = (
        "from streamlit.testing.v1 import AppTest\n"
        f"for path in {[str(PAGES / f'{name}.py') for name in NAMES]}:\n"
        "    found = AppTest.from_file(path, default_timeout=30).run().exception\n"
        "    assert not found, (path, found)\n"
    )
    assert not loaded_by(code) & HEAVY


def test_the_warm_up_loads_what_pages_draw_with_and_nothing_heavy() -> None:
    code = (
        "import gc, sys\n"
        "from vccapp.ui.warmup import warm_up; warm_up()\n"
        "assert gc.get_freeze_count() > 50_000, gc.get_freeze_count()\n"
        "drawing = {'altair', 'plotly.io', 'scipy.cluster.hierarchy', 'vccapp.ui.comparison.choice'}\n"
        "assert drawing <= set(sys.modules)\n"
    )
    assert not loaded_by(code) & HEAVY


def test_pages_are_short_and_in_order() -> None:
    orders = [record.order for record in read_pages()]
    assert len(set(orders)) == len(orders)
    assert read_pages()[0].path.stem == HOME
    for path in PAGES.glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) < 150, f"{path.name} is long for a page"
        for word in ("groupby(", "try:", "except", "use_container_width"):
            assert word not in text, f"{path.name} holds {word}"


def test_form_has_a_widget_of_the_right_kind_for_each_field() -> None:
    page = AppTest.from_function(show_toy_form).run()
    assert_well(page)
    assert page.session_state["values"].values == Toy().model_dump()
    assert [box.label for box in page.number_input] == ["Steps", "Rate"]
    assert [group.label for group in page.expander] == ["Pace", "Other settings"]
    rate = page.number_input(key="toy_rate")
    assert (rate.label, rate.help) == ("Rate", "How fast. A number above 0, at most 1. (`rate`)")
    assert page.selectbox(key="toy_way").options == ["a", "b"]
    page.toggle(key="toy_deep").set_value(True)
    page.text_input(key="toy_base").set_value("").run()
    changed = {"deep": True, "base": ""}
    assert page.session_state["values"].values == Toy().model_dump() | changed
    rate.set_value(2.0).run()
    [problem] = page.session_state["values"].problems
    assert "Rate is 2" in problem and any("Rate is 2" in caption.value for caption in page.caption)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("variable", "value"), [("VCCAPP_MEMORY_GB", "abc"), ("VCCAPP_DEVICE", "gpu")])
def test_a_wrong_setting_is_one_sentence_on_every_page(
    name: str, variable: str, value: str, here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    page = open_alone(name)
    assert not page.exception
    [error] = page.error
    assert variable in error.value and value in error.value


def test_an_unexpected_error_under_a_wrong_setting_is_one_sentence(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCCAPP_MEMORY_GB", "abc")

    def page() -> None:
        from vccapp.ui.kit.frame import show_error

        show_error(ZeroDivisionError("secret detail"))

    shown = AppTest.from_function(page).run()
    assert not shown.exception
    [error] = shown.error
    assert "VCCAPP_MEMORY_GB" in error.value


def test_unexpected_errors_are_one_sentence_with_the_log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(settings, monkeypatch)
    settings.home.mkdir(parents=True)

    def page() -> None:
        from vccapp.ui.kit.frame import show_error

        show_error(ZeroDivisionError("secret detail"))

    shown = AppTest.from_function(page).run()
    [error] = shown.error
    assert "ZeroDivisionError" in error.value
    assert str(settings.home / "app.log") in error.value
    assert "secret detail" not in error.value
    assert "secret detail" in (settings.home / "app.log").read_text()


def test_expected_errors_are_their_sentence_and_the_page_goes_on() -> None:
    def page() -> None:
        import streamlit as st

        from vccapp.errors import DataError
        from vccapp.ui.kit.frame import errors_shown

        with errors_shown():
            raise DataError("no_x", "no X")
        st.write("after")

    shown = AppTest.from_function(page).run()
    assert [error.value for error in shown.error] == ["no X."]
    assert shown.markdown[0].value == "after"


def test_mended_files_are_deleted_by_button(here: Settings) -> None:
    folder = mended_folder(here)
    assert not [button.key for button in open_alone("submit").button if button.key == "sub_mended_delete"]
    folder.mkdir()
    (folder / "x-1.h5ad").write_bytes(bytes(2_000_000))
    page = open_alone("submit")
    assert_well(page)
    assert any("2 MB" in caption.value for caption in page.caption)
    page.button(key="sub_mended_delete").click().run()
    assert_well(page)
    assert list(folder.iterdir()) == []
