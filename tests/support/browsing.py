"""Pages in a real browser: how one is started, and what is read from a page with a list."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["SE_OFFLINE"] = "true"  # before selenium is loaded: it looks for drivers and reports its use otherwise

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
)


def has_browser() -> bool:
    """Whether this machine has all that the tests marked `browser` need."""
    return BROWSER is not None and DRIVER is not None and importlib.util.find_spec("selenium") is not None


def start_browser(profile: Path) -> Any:
    """A browser without a window, which keeps what its console says and what it asks of others."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))


def find(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def wait(page: Any, holds: Callable[[], object]) -> None:
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver.support.wait import WebDriverWait

    ignored = [NoSuchElementException, StaleElementReferenceException]
    WebDriverWait(page, 20, ignored_exceptions=ignored).until(lambda _: holds())


def ids(page: Any) -> list[str]:
    return [element.text for element in page.find_elements("css selector", "#list h3 bdi:first-child")]


def count(page: Any) -> str:
    return find(page, "#count").text


def search(page: Any, text: str, expected: str, *, first: str | None = None) -> None:
    """Type, and wait until the list has followed: as many found as expected, and the expected one on top."""
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.wait import WebDriverWait

    def has_followed(_: Any) -> bool:
        return count(page) == expected and ids(page)[:1] == ([first] if first else [])

    box = find(page, "#search")
    box.clear()
    box.send_keys(text)
    WebDriverWait(page, 20, ignored_exceptions=[StaleElementReferenceException]).until(has_followed, expected)
