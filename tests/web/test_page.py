"""The page in headless Chromium, at desktop and phone width, with and without JavaScript, light and dark.

Whatever a list or a visitor wrote is text; nothing is asked of another host; axe-core finds nothing; all of it
can be reached by keyboard.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, sync_playwright
from support.servers import find_program, needs
from support.webserver import Serve

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needs("chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=find_program("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


class Watch:
    """A page whose requests, complaints and dialogs are kept."""

    def __init__(self, context: BrowserContext, web: Serve) -> None:
        self.page: Page = context.new_page()
        self.web = web
        self.requests: list[str] = []
        self.complaints: list[str] = []
        context.on("request", self._note_request)
        self.page.on("console", lambda message: self._complain(message.text))
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("dialog", self._dismiss)

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def _dismiss(self, dialog: Dialog) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.web.url + path)
        return self.page

    def look_up(self, subject: str) -> Page:
        """As who types it and presses Enter; waits until all lists are done."""
        self.page.fill("#q", subject)
        self.page.press("#q", "Enter")
        self.wait_done(subject)
        return self.page

    def wait_done(self, subject: str) -> None:
        """By a selector: a function to wait for would be compiled in the page, which its policy forbids."""
        self.page.wait_for_selector(f"#result[data-done={json.dumps(subject)}]", state="attached")

    def assert_quiet(self) -> None:
        assert {url for url in self.requests if not url.startswith(self.web.url + "/")} == set()
        assert [text for text in self.complaints if "status of 400" not in text] == []


@pytest.fixture
def watch(browser: Browser, web: Serve) -> Iterator[Watch]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        watch = Watch(context, web)
        yield watch
        watch.assert_quiet()


@pytest.fixture
def plain(browser: Browser, web: Serve) -> Iterator[Watch]:
    """Without JavaScript."""
    with browser.new_context(java_script_enabled=False) as context:
        watch = Watch(context, web)
        yield watch
        watch.assert_quiet()


def shot(page: Page, name: str) -> None:
    """A picture to be looked at, where $SCREENSHOTS names a directory."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def axe(page: Page) -> list[Any]:
    """What axe-core calls a violation. Run past the page's own policy, which allows no foreign script."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => JSON.stringify((await axe.run()).violations)")
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in json.loads(found)]


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_it_can_be_read(browser: Browser, web: Serve, size: str, scheme: Any) -> None:
    """No violation for axe-core, nothing wider than the screen, and the colours of the scheme."""
    width, height = SIZES[size]
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
        watch = Watch(context, web)
        page = watch.open()
        watch.look_up("192.0.2.99")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ink, ground = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert (brightness(ink) > brightness(ground)) is (scheme == "dark")
        shot(page, f"{size}-{scheme}")
        watch.assert_quiet()


def brightness(color: str) -> int:
    return sum(int(part) for part in color.partition("(")[2].rstrip(")").split(",")[:3])


def test_an_answer_with_and_without_a_script_is_the_same(watch: Watch, plain: Watch) -> None:
    watch.open()
    page = watch.look_up("192.0.2.99")
    other = plain.open("/?q=192.0.2.99")
    for part in ("#result h2", "#result .card"):
        assert page.locator(part).all_inner_texts() == other.locator(part).all_inner_texts()
    assert "How to get off it" in page.inner_text("#result")
    assert "spam source" in page.inner_text("#result")
    assert page.inner_text("#status") == page.inner_text("#result h2")  # told to screen readers
    assert page.url.endswith("/?q=192.0.2.99")
    assert page.title() == other.title() == "192.0.2.99 is listed by 2 of 3 lists asked."


def test_the_form_works_without_a_script(plain: Watch) -> None:
    page = plain.open()
    page.fill("#q", "192.0.2.1")
    page.press("#q", "Enter")
    page.wait_for_selector("#result h2")
    assert page.inner_text("#result h2") == "192.0.2.1 is listed by none of the 3 lists that answered."


def test_back_shows_what_was_looked_up_before(watch: Watch) -> None:
    watch.open()
    watch.look_up("192.0.2.1")
    page = watch.look_up("192.0.2.99")
    page.go_back()
    watch.wait_done("192.0.2.1")
    assert page.input_value("#q") == "192.0.2.1"


def test_a_hostile_subject_is_text(watch: Watch, plain: Watch) -> None:
    for subject in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a\u202eb", "x" * 8_000):
        page = watch.open()
        page.fill("#q", subject)
        page.press("#q", "Enter")
        page.wait_for_selector("#result .problem")
        other = plain.open(f"/?q={quote(subject)}")
        for each in (page, other):
            assert each.locator("main script, main img").count() == 0
            assert len(each.inner_text("#result .problem")) < 1_000
            assert "\u202e" not in each.inner_text("#result .problem")


def test_a_hostile_reason_is_text(watch: Watch, plain: Watch) -> None:
    """Markup, control characters, a change of direction, ten kilobytes: one bounded line of text."""
    watch.open()
    page = watch.look_up("192.0.2.66")
    other = plain.open("/?q=192.0.2.66")
    for each in (page, other):
        reason = each.locator("#result dd", has_text="alert(1)").inner_text()
        assert reason.startswith("<script>alert(1)</script><img src=x onerror=alert(1)>")
        assert len(reason) <= 600
        assert not set(reason) & {"\x1b", "\x00", "\n", "\u202e"}
        assert each.locator("main script, main img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_board_and_its_history(watch: Watch) -> None:
    page = watch.open()
    assert "3 watched, 1 of them listed." in page.inner_text("#watched")
    row = page.locator("#watched tbody tr").first
    assert "Listed by 1" in row.inner_text()
    assert "spam <script>alert(1)</script>" in row.inner_text()
    assert row.locator("a[href^=javascript]").count() == 0
    page.get_by_role("link", name="Older changes").click()
    page.wait_for_url("**/?before=41#history")
    assert "change 39 " in page.inner_text("#watched")
    assert "Lists asked" in page.inner_text("#statistics")


def test_by_keyboard_alone(watch: Watch) -> None:
    """Every link, field and table comes up by Tab, in the order of the page, and is seen to have the focus."""
    page = watch.open()
    seen: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "(() => { const e = document.activeElement; return [e.tagName + ' ' + (e.id ||"
            " e.getAttribute('aria-label') || e.textContent), getComputedStyle(e).outlineStyle]; })()"
        )
        assert outline != "none", name
        seen.append(name)
        if name == "DIV Lists asked":
            break
    assert seen[:6] == [
        "A Skip to the content",
        "A Look up",
        "A Watched",
        "A Statistics",
        "INPUT q",
        "BUTTON Look up",
    ]
    assert [name for name in seen if name.startswith("DIV")] == [
        "DIV What is watched", "DIV Changes, the newest first", "DIV Lists asked",
    ]  # fmt: skip


def test_every_reply_forbids_what_the_page_does_not_need(web: Serve) -> None:
    for path in ("/", "/?q=192.0.2.99", "/zones", "/nothing", "/static/page.js"):
        headers = web.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    text = web.get("/?q=192.0.2.99").data.decode()
    assert "<script>" not in text
    assert "style=" not in text
    assert web.get("/static/../page.py").status == 404
