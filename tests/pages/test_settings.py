"""The page Settings: views by their links, the Ray address kept, fixed by a variable or refused, a cluster asked."""

import pytest
from page_kit import assert_well, commands_of, open_alone, parse_command

from vccapp.errors import JobError
from vccapp.jobs.cluster import ask
from vccapp.settings import Settings, open_settings


@pytest.fixture
def free(here: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The workspace, where no variable sets the Ray address."""
    monkeypatch.delenv("VCCAPP_RAY_ADDRESS")
    yield here
    here.kept.unlink(missing_ok=True)


@pytest.mark.parametrize("view", ["Settings", "Ray cluster", "Disk", "Packages"])
def test_each_view_opens_by_its_link_and_names_commands_that_there_are(view: str, free: Settings) -> None:
    page = open_alone("settings", settings_view=view)
    assert_well(page)
    assert len(page.dataframe) == (view != "Ray cluster")
    for words in commands_of(page):
        parse_command(words)


def test_a_saved_address_is_that_of_the_next_look(free: Settings) -> None:
    page = open_alone("settings", settings_view="Ray cluster")
    page.text_input(key="settings_ray_address").set_value("head:6379")
    page.button[0].click().run()
    assert_well(page)
    assert open_settings().ray_address == "head:6379"
    table = open_alone("settings").dataframe[0].value.set_index("setting")
    assert list(table.loc["Ray address"]) == ["head:6379", "Workspace", "VCCAPP_RAY_ADDRESS"]


def test_what_is_no_address_is_said_and_changes_nothing(free: Settings) -> None:
    page = open_alone("settings", settings_view="Ray cluster")
    page.text_input(key="settings_ray_address").set_value("ray://head")
    page.button[0].click().run()
    assert not page.exception and len(page.error) == 1
    assert open_settings().ray_address == "auto"


def test_a_variable_wins_and_the_form_is_closed(here: Settings) -> None:
    page = open_alone("settings", settings_view="Ray cluster")
    assert page.text_input(key="settings_ray_address").disabled and page.button[0].disabled
    assert "VCCAPP_RAY_ADDRESS" in page.info[0].value


def test_a_cluster_is_asked_only_by_the_button(free: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(address: str) -> ask.Answer:
        asked.append(address)
        if len(asked) > 1:
            raise JobError("no_ray_cluster", "Nothing answers", fix="start one")
        return ask.Answer(address, 2, 8, 1, 10**10)

    asked: list[str] = []
    monkeypatch.setattr(ask, "ask_apart", answer)
    page = open_alone("settings", settings_view="Ray cluster")
    assert asked == []
    page.button(key="settings_ray_check").click().run()
    assert asked == ["auto"] and "2 machines" in page.success[0].value
    page.button(key="settings_ray_check").click().run()
    assert not page.exception and len(page.warning) == 1 and not page.success


@pytest.mark.slow
def test_where_nothing_answers_that_is_said() -> None:
    pytest.importorskip("ray")
    with pytest.raises(JobError) as refused:
        ask.ask_apart("127.0.0.1:9")
    assert refused.value.code == "no_ray_cluster"
