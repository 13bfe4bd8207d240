"""What people do with a page, and how long it takes until the page stands again.

    page.evaluate(WATCH)
    seconds = time_action(page, visit(page, "Runs"))

A time runs from the last key or click until the script has ended and nothing on the page has changed for a while; the
last change that can be seen counts.
"""

import math
import statistics
from collections.abc import Callable

from playwright.sync_api import Page

LIMITS = {"first view": 2.0, "interaction": 0.7}
WATCH = """
() => {
  window.asked = window.changed = performance.now();
  const unseen = node => (node.nodeType === 1 ? node : node.parentElement)?.closest('canvas, [data-live-announcer]');
  const changed = changes => {  // texts for screen readers come and go long after the page stands
    if (changes.some(change => change.type === 'attributes' || !unseen(change.target)))
      window.changed = performance.now();
  };
  const asked = () => { window.asked = window.changed = performance.now(); };
  for (const kind of ['pointerdown', 'pointerup', 'keydown']) window.addEventListener(kind, asked, true);
  new MutationObserver(changed).observe(document.body, {subtree: true, childList: true, attributes: true});
}
"""
STANDS = """
() => {
  const app = document.querySelector('[data-testid=stApp]');
  const main = document.querySelector('[data-testid=stMain] h1');
  const waiting = document.querySelector('[data-testid=stMain] [data-testid=stSkeleton]');
  const still = performance.now() - window.changed > 450;
  return main && !waiting && app.dataset.testScriptState === 'notRunning' && still
    ? Math.max(window.changed - window.asked, 1) / 1000 : false;
}
"""


def time_action(page: Page, act: Callable[[], None]) -> float:
    """Seconds from the last key or click of `act` until the page stands."""
    act()
    return page.wait_for_function(STANDS, polling=50).json_value()


def press_slider(page: Page, key: str, keys: list[str]) -> Callable[[], None]:
    """Move a slider by one step: the next of `keys` at every call."""

    def act() -> None:
        page.locator(f".st-key-{key}").get_by_role("slider").first.press(keys[0])
        keys.append(keys.pop(0))

    return act


def choose(page: Page, key: str, options: list[str]) -> Callable[[], None]:
    """Choose the next of `options` in a selectbox by typing it."""

    def act() -> None:
        field = page.locator(f".st-key-{key} input").first
        field.click()
        field.fill(options[0])
        page.wait_for_timeout(150)
        field.press("Enter")
        options.append(options.pop(0))

    return act


def pick(page: Page, key: str, options: list[str]) -> Callable[[], None]:
    """Add the next of `options` to a multiselect by typing it; one that is chosen already is left out again."""

    def act() -> None:
        place = page.locator(f".st-key-{key}")
        page.keyboard.press("Escape")  # an open list of options hides all else from being found
        page.wait_for_timeout(150)
        chosen = place.get_by_role("button", name=options[0])
        if chosen.count():
            chosen.first.click()
        else:
            field = place.locator("input").first
            field.click()
            field.fill(options[0])
            page.wait_for_timeout(150)
            field.press("Enter")
        options.append(options.pop(0))

    return act


def toggle(page: Page, key: str) -> Callable[[], None]:
    return lambda: page.locator(f".st-key-{key} label").first.click()


def type_text(page: Page, key: str, texts: list[str]) -> Callable[[], None]:
    def act() -> None:
        field = page.locator(f".st-key-{key} input").first
        field.fill(texts[0])
        field.press("Enter")
        texts.append(texts.pop(0))

    return act


def switch(page: Page, key: str, names: list[str]) -> Callable[[], None]:
    """Press the next of the named buttons (or tabs) of a widget."""

    def act() -> None:
        place = page.locator(f".st-key-{key}")
        place.get_by_role("tab", name=names[0]).or_(place.get_by_role("radio", name=names[0])).or_(
            place.get_by_role("button", name=names[0], exact=True)
        ).first.click()
        names.append(names.pop(0))

    return act


def visit(page: Page, title: str) -> Callable[[], None]:
    return lambda: page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()


def row(title: str, action: str, seconds: list[float]) -> dict:
    """The figures of an action, which are printed too."""
    ranked = sorted(seconds)
    found = {
        "page": title,
        "action": action,
        "n": len(seconds),
        "median": round(statistics.median(seconds), 3),
        "p95": round(ranked[math.ceil(0.95 * len(ranked)) - 1], 3),
    }
    limit = LIMITS.get(action, LIMITS["interaction"])
    print(
        f"{title:14}{action:24}{found['median']:8.2f}{found['p95']:8.2f} s   {'' if found['p95'] <= limit else 'SLOW'}",
        flush=True,
    )
    return found
