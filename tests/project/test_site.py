"""
The site, as its readers see it: every link leads somewhere, and a real browser shows
each page without a fault, on a screen and on a telephone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from tests.support.live import PATIENCE, ROOT

#: Pixels across: a screen and a telephone.
WIDTHS = [1200, 375]

#: What the browser needs to run as root and to leave the network alone.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Elements of a page that stick out of the window, and do not scroll by themselves.
STICKING_OUT = """
const scrolls = e => e && e.tagName != "BODY" &&
    (getComputedStyle(e).overflowX != "visible" || scrolls(e.parentElement));
return [...document.querySelectorAll("article *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e))
    .map(e => e.outerHTML.slice(0, 80));
"""

#: Whether an element, which may still be sliding in, is where a click would hit it.
AT_ITS_PLACE = """
arguments[0].scrollIntoView({block: "center", behavior: "instant"});
const place = arguments[0].getBoundingClientRect();
const [x, y] = [place.x + place.width / 2, place.y + place.height / 2];
return arguments[0].contains(document.elementFromPoint(x, y));
"""

#: The titles of the pages that a search has found by now.
FOUND = """
return [...document.querySelectorAll("#search-results li > a")].map(link => link.textContent);
"""

#: What the theme shows around a page, in English.
FRAME = ["Back to top", "On this page", "Skip to", "Next", "Previous", "Home", "Made with"]


class Page(HTMLParser):
    """
    What a page leads to, and what in it can be led to.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """
        Note the links and the anchors of an element.
        """
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The site, and in it the French pages, made without a warning.
    """
    folder = tmp_path_factory.mktemp("site")
    made = folder / "html"
    for language, place in [("en", made), ("fr", made / "fr")]:
        words = [sys.executable, "-m", "sphinx", "-q", "-W", "-D", f"language={language}"]
        done = subprocess.run(
            [*words, "-d", str(folder / language), str(ROOT / "docs"), str(place)],
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return made


def pages(site: Path) -> list[str]:
    """
    Name the pages of the site.
    """
    return sorted(str(path.relative_to(site)) for path in site.rglob("*.html"))


@pytest.mark.slow
def test_pages(site: Path) -> None:
    """
    Each link within the site leads to a file that is there, and to an anchor in it;
    options are written with two hyphens.
    """
    texts = {name: (site / name).read_text("utf-8") for name in pages(site)}
    known = {name: Page(text) for name, text in texts.items()}
    assert len(known) > 25
    assert [name for name, text in texts.items() if re.search(r"(?<!\w)[–—]\w", text)] == []
    broken = []
    for name, page in known.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            path, anchor = urldefrag(urljoin(f"/{name}", link))
            target = unquote(path).lstrip("/").partition("?")[0]
            there = known.get(target)
            isThere = not (there and anchor) or anchor in there.anchors
            if not (site / target).is_file() or not isThere:
                broken.append(f"{name}: {link}")
    assert broken == []


class Quiet(SimpleHTTPRequestHandler):
    """
    Serves the site, and does not say so.
    """

    def log_message(self, format: str, *args: Any) -> None:
        """
        Say nothing.
        """


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """
    The site's address on this host.
    """
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """
    Chromium without a window.
    """
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("chromedriver is not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    opened.set_page_load_timeout(PATIENCE)
    yield opened
    opened.quit()


def widen(browser: Any, width: int) -> None:
    """
    Give the window a width.
    """
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.mark.slow
def test_shown(browser: Any, address: str, site: Path) -> None:
    """
    No page has an error in the console, or is wider than the window.
    """
    for name in pages(site):
        browser.get(address + name)
        for width in WIDTHS:
            widen(browser, width)
            assert browser.execute_script(STICKING_OUT) == [], (name, width)
            [wide] = browser.execute_script("return [document.documentElement.scrollWidth]")
            assert wide <= width, name
        assert browser.get_log("browser") == [], name


@pytest.mark.slow
def test_drawings(browser: Any, address: str, site: Path) -> None:
    """
    The letters of a capture's drawing have the colour of the text around, in a light page
    and in a dark one, as the reader's system or the page's button says.
    """
    script = """
    document.body.dataset.theme = arguments[0];
    return [".capture text", ".capture .line:not([class$=line])", "article p"].map(
        name => getComputedStyle(document.querySelector(name)))
        .map(style => [style.color, style.fill, style.stroke]);
    """
    browser.get(address + "lesson/wire.html")
    colours = set()
    for theme in ("light", "dark"):
        letters, line, text = browser.execute_script(script, theme)
        assert letters[1] == line[2] == text[0]
        colours.add(text[0])
    assert len(colours) == 2
    assert len(browser.find_elements("css selector", "figure.capture a.download")) >= 12


@pytest.mark.slow
def test_navigation(browser: Any, address: str) -> None:
    """
    The navigation leads to a page, on a telephone behind its button; a page is dark for
    a reader who wants that.
    """
    for width in WIDTHS:
        widen(browser, width)
        browser.get(address)
        if width == min(WIDTHS):
            browser.find_element("css selector", ".nav-overlay-icon").click()
        link = browser.find_element("css selector", ".sidebar-tree a[href='troubleshooting.html']")
        waiting(browser, lambda link=link: browser.execute_script(AT_ITS_PLACE, link))
        link.click()
        waiting(browser, lambda: browser.title.startswith("Troubleshooting"))
    colours = []
    for scheme in ("light", "dark"):
        preferred = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preferred]})
        script = "return getComputedStyle(document.body).backgroundColor"
        colours.append([int(part) for part in re.findall(r"\d+", browser.execute_script(script))])
    assert sum(colours[0][:3]) > 600 > 200 > sum(colours[1][:3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "title"),
    [("another program has it", "Troubleshooting"), ("stall-timeout", "Options")],
)
def test_search(browser: Any, address: str, words: str, title: str) -> None:
    """
    A part of an error's text, or an option, leads to the page that explains it.
    """
    widen(browser, WIDTHS[0])
    browser.get(address)
    box = browser.find_element("css selector", "input[name=q]")
    box.send_keys(words)
    box.submit()

    waiting(browser, lambda: title in browser.execute_script(FOUND))


@pytest.mark.slow
def test_complete(site: Path) -> None:
    """
    Each page of the lesson is there in both languages, and in French all around it is,
    and what drawings say.
    """
    names = [str(path.relative_to(site)) for path in (site / "lesson").glob("*.html")]
    assert len(names) > 1
    for name in names:
        text = (site / "fr" / name).read_text("utf-8")
        assert '<html class="no-js" lang="fr"' in text
        for word in FRAME:
            assert f">{word}" not in text, name
        for drawing in re.findall("<svg.*?</svg>", text, re.DOTALL):
            assert not re.search(r"<text[^>]*>[^<“]*(bytes|later|again)<", drawing), name


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_languages(browser: Any, address: str, site: Path, width: int) -> None:
    """
    Each page of the lesson leads to itself in the other language, and back, also without
    a mouse; from French pages links lead to English ones, which say so.
    """
    from selenium.webdriver.common.keys import Keys

    def language() -> str:
        return str(browser.execute_script("return document.documentElement.lang"))

    def typed(key: str) -> Any:
        browser.switch_to.active_element.send_keys(key)
        return browser.switch_to.active_element

    widen(browser, width)
    browser.get(address + "lesson/socket.html")
    for code in ["fr", "en", "fr"]:
        # Past the navigation, by the first link of the page.
        assert "skip-to-content" in typed(Keys.TAB).get_attribute("class")
        typed(Keys.ENTER)
        link = typed(Keys.TAB)
        assert link.get_attribute("hreflang") == link.get_attribute("lang") == code
        assert browser.execute_script(AT_ITS_PLACE, link)
        typed(Keys.ENTER)
        waiting(browser, lambda code=code: language() == code)
        assert browser.current_url.endswith("/lesson/socket.html")
    for place in ["article a[href*='code.html#']", ".sidebar-tree a[hreflang=en]"]:
        browser.get(address + "fr/lesson/socket.html")
        browser.get(browser.find_element("css selector", place).get_property("href"))
        assert language() == "en"


def waiting(browser: Any, done: Any) -> None:
    """
    Wait until something is so.
    """
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, PATIENCE).until(lambda _: done())
