"""The built pages in a real browser, on a desk's screen and a phone's: nothing is cut, all can be read and found."""

from __future__ import annotations

import functools
import html.parser
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: What people search for, and the first pages that they should be shown.
SEARCHES = {
    "PoolManager": ["#poollib.PoolManager", "client.html"],
    "Retry": ["#poollib.Retry", "retries.html"],
    "timeout": ["#poollib.Timeout", "timeouts.html"],
    "proxy": ["#poollib.Proxy", "ways.html"],
    "upload": ["bodies.html"],
    "download": ["#poollib.download", "bodies.html"],
    "retries": ["retries.html"],
    "TLS": ["ways.html"],
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built anew; a reference that leads nowhere is an error."""
    for name in ("sphinx", "furo"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-n", "-W", ROOT / "docs", folder], check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def found(site: Path) -> dict[str, Any]:
    """What the browser measured on all pages."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}")
    shutil.copy(ROOT / "tests/support/site_check.html", site / "check.html")
    pages = sorted(str(page.relative_to(site)) for page in site.rglob("*.html") if is_read(page.name))
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            return dumped(browser, f"http://127.0.0.1:{server.server_port}/check.html", pages, site)
        finally:
            server.shutdown()
            thread.join(10)


def is_read(name: str) -> bool:
    """Whether a page of that name has text of ours."""
    return name not in ("check.html", "search.html", "genindex.html", "py-modindex.html")


def dumped(browser: str, url: str, pages: list[str], folder: Path) -> dict[str, Any]:
    """What check.html found on these pages."""
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={folder}-profile", "--window-size=1400,1000", "--timeout=240000", "--dump-dom"]
    command += ["--virtual-time-budget=1000000", f"{url}?pages={','.join(pages)}&words={','.join(SEARCHES)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert text is not None, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(html.unescape(text[1]))
    assert result["done"]
    return result


def test_no_page_is_wider_than_the_screen(found: dict[str, Any]) -> None:
    assert found["wide"] == []


def test_no_table_and_no_text_is_cut(found: dict[str, Any]) -> None:
    assert found["cut"] == []


def test_text_stands_out_from_its_ground_in_light_and_dark(found: dict[str, Any]) -> None:
    assert found["pale"] == []


@pytest.mark.parametrize("word", SEARCHES)
def test_the_search_shows_the_right_pages_first(found: dict[str, Any], word: str) -> None:
    links = found["search"][word][: len(SEARCHES[word])]
    assert [wanted for wanted, link in zip(SEARCHES[word], links, strict=True) if wanted not in link] == []


class _Links(html.parser.HTMLParser):
    """The links of a page, and the places on it that links may name."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places.update(filter(None, (given.get("id"), given.get("name"))))
        if (link := given.get("href" if tag in ("a", "link") else "src")) is not None:
            self.links.append(link)


def test_every_link_within_the_site_leads_to_a_page_and_a_place_on_it(site: Path) -> None:
    pages = {page: _Links(page) for page in sorted(site.rglob("*.html")) if page.name != "check.html"}
    lost = []
    for page, read in pages.items():
        for link in read.links:
            address = urllib.parse.urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (page.parent / urllib.parse.unquote(address.path)).resolve() if address.path else page
            places = pages[target].places if target in pages else {address.fragment}
            if not target.is_file() or (address.fragment and address.fragment not in places):
                lost.append((page.name, link))
    assert lost == []
    assert sum(len(read.links) for read in pages.values()) > 1000
