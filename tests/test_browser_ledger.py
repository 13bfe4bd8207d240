"""The page Ledger in a real headless Chromium: two submissions get official scores, and a link compares them."""

import json

import pytest
from browser import SECOND, Server, heading, need_chromium, open_browser, settle
from desk import make_desk
from playwright.sync_api import Page, expect

from vccapp.settings import Settings
from vccapp.submission.build import build_submission
from vccapp.submission.ledger.listing import find_submission
from vccapp.submission.plan import load_plan, write_plan
from vccapp.submission.planning.like import plan_like

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two built submissions of one plan, by two runs."""
    need_chromium()
    settings = make_desk(tmp_path_factory.mktemp("ledger"))
    plan = plan_like(load_plan("first", settings), "two", settings, id="second")
    write_plan(plan, settings)
    build_submission(plan, settings)
    return settings


def enter(page: Page, url: str, id: str, score: float) -> None:
    """Paste what the official tool printed of a submission."""
    page.goto(f"{url}/ledger?ledger_id={id}")
    expect(heading(page)).to_be_visible(timeout=60 * SECOND)
    settle(page)
    page.locator(".st-key-ledger_enter summary").click()
    settle(page)
    box = page.locator(f".st-key-ledger_json_{id} textarea")
    box.fill(json.dumps({"entry_id": id, "is_final": True, "rank": 4, "score_avg": score, "mae_score": score / 2}))
    box.press("Control+Enter")
    settle(page)
    page.locator(".st-key-ledger_read button").click()
    expect(page.locator(".st-key-ledger_one").get_by_text("· scored")).to_be_visible(timeout=60 * SECOND)


def test_two_with_official_scores_are_compared(server: Server, settings: Settings) -> None:
    with open_browser() as page:
        for id, score in (("first", 0.21), ("second", 0.37)):
            enter(page, server.url, id, score)
            assert [result.scores["overall"] for result in find_submission(id, settings).results] == [score]
        page.goto(f"{server.url}/ledger?ledger_a=first&ledger_b=second")
        expect(heading(page)).to_be_visible(timeout=60 * SECOND)
        settle(page)
        expect(page.get_by_text("things differ")).to_be_visible(timeout=30 * SECOND)
        expect(page.get_by_text("the same numbers and depths")).to_be_visible()
        pair = page.locator("[class*=st-key-ledger_pair]").first
        pair.scroll_into_view_if_needed()
        settle(page)
        for text in ("Overall", "first and second"):
            expect(pair.locator("svg text").get_by_text(text, exact=True).first).to_be_visible(timeout=30 * SECOND)
        curve = page.locator(".st-key-ledger_best_card")
        curve.scroll_into_view_if_needed()
        settle(page)
        expect(curve.locator("svg text").get_by_text("Overall over time").first).to_be_visible(timeout=30 * SECOND)
