"""The pictures of docs/gateway.md: a gateway, its page in Chromium, and what a user would do there.

    pip install '.[cpu,serve]' selenium
    python examples/gateway_screenshots.py docs/images [--model default] [--upstream default]

Needs Chromium, chromedriver and selenium, and the weights it names.
"""

import argparse
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DESKTOP, PHONE = (1280, 800), (390, 844)
SECONDS = 1200


@contextmanager
def gateway(model: str, upstream: str) -> Iterator[str]:
    """The address of a gateway with its own store."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "fipo_model.cli", "serve", "--upstream", upstream, "--model", model]
        command += ["--store", "rewrites.jsonl", "--port", "0"]
        with subprocess.Popen(command, cwd=directory, stderr=subprocess.PIPE, text=True) as process:
            try:
                for line in process.stderr or ():
                    print(line, end="")
                    if found := re.search(r"its page (http://\S+?)/$", line.strip()):
                        yield found[1]
                        break
            finally:
                process.terminate()


@contextmanager
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    os.environ["SE_OFFLINE"] = "true"
    from selenium import webdriver

    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={profile}"):
            options.add_argument(f"--{flag}")
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        yield driver
        driver.quit()


def wait(holds: Callable[[], bool]) -> None:
    last = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > last:
            sys.exit("the page did not get that far in time")
        time.sleep(0.2)


def shoot(page: Any, target: Path, size: tuple[int, int], scheme: str) -> None:
    """The whole page at a width, in light or dark."""
    width, height = size
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    time.sleep(0.5)
    whole = max(height, page.execute_script("return document.scrollingElement.scrollHeight"))
    clip = {"x": 0, "y": 0, "width": width, "height": whole, "scale": 1}
    shot = page.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    target.write_bytes(base64.b64decode(shot["data"]))
    print(target)


def use(page: Any, address: str, directory: Path) -> None:
    """From an empty page to a rewrite that is tried on examples and saved."""

    def find(selector: str) -> Any:
        return page.find_element("css selector", selector)

    page.set_window_size(*DESKTOP)
    page.get(f"{address}/")
    wait(lambda: "answers when" in find("#about").text)
    shoot(page, directory / "gateway-start.png", DESKTOP, "light")
    find(".start").click()  # a prompt with examples
    find("#propose").click()
    wait(lambda: not find("#stop").is_displayed())
    shoot(page, directory / "gateway-proposals.png", DESKTOP, "light")
    find("#proposals button").click()
    wait(lambda: find("#verdict").text != "")
    find("#run").click()
    wait(lambda: find("#ran").text.startswith("Done"))
    find("#save").click()
    wait(lambda: find("#saved").text != "")
    shoot(page, directory / "gateway-tried.png", DESKTOP, "dark")
    shoot(page, directory / "gateway-phone.png", PHONE, "light")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--model", default="default", help="who rewrites")
    parser.add_argument("--upstream", default="default", help="who answers")
    told = parser.parse_args()
    told.directory.mkdir(parents=True, exist_ok=True)
    with gateway(told.model, told.upstream) as address, browser() as page:
        use(page, address, told.directory)


if __name__ == "__main__":
    main()
