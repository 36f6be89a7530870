"""The screens in a real headless browser, and who is kept out."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from real_head import PATIENCE_S, RealHead, reserved_port

BROWSER = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1200,800",
)


@pytest.fixture
def address(fresh_head: RealHead) -> Iterator[str]:
    fresh_head.up()
    with reserved_port() as port:
        command = [sys.executable, "-m", "beowulf.cli", "web", "--port", str(port)]
        process = subprocess.Popen(command, env=fresh_head.env(), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_only_the_token_opens_it_and_no_other_site_may_use_it(address: str) -> None:
    base, token = address.split("/?token=")
    cookie = {"Cookie": f"beowulf={token}"}
    assert base.startswith("http://127.0.0.1:")
    assert status(base) == 403 and status(f"{base}/?token={'x' * len(token)}") == 403
    assert status(base, **cookie) == 200
    assert status(base, Origin="http://evil.example", **cookie) == 403
    assert status(base, Host="evil.example", **cookie) == 403
    assert status(f"{base}/ws", Upgrade="websocket", Connection="Upgrade") == 403


def test_a_port_that_is_taken_is_said_so(address: str, fresh_head: RealHead) -> None:
    port = address.partition("/?")[0].rpartition(":")[2]
    refused = fresh_head.cli("web", "--port", port)
    assert refused.returncode == 4 and f"port {port} cannot be used" in refused.stderr


class Browser:
    """Chromium by its own protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0

    async def ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=PATIENCE_S)
            if answer.get("id") == self._number:
                return answer["result"]

    async def value(self, script: str) -> Any:
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def until(self, script: str) -> None:
        for _ in range(1000):
            if await self.value(script):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never true: {script}")

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.ask("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_a_browser_shows_the_screens_and_its_keys_reach_them(address: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path}", "about:blank"], stderr=subprocess.DEVNULL
    )

    async def main() -> None:
        port = await asyncio.to_thread(debugging_port, tmp_path)
        async with aiohttp.ClientSession() as session:
            url = await first_page(session, f"http://127.0.0.1:{port}/json")
            async with session.ws_connect(url, max_msg_size=0) as connection:
                browser = Browser(connection)
                await browser.ask("Page.navigate", url=address)
                await browser.until("document.body && document.body.classList.contains('-first-byte')")
                await browser.until("document.querySelector('.xterm-screen') !== null")
                assert "token" not in await browser.value("location.href")
                await browser.value("document.querySelector('.xterm-helper-textarea').focus()")
                await browser.press("q")
                await browser.until("document.body.classList.contains('-closed')")

    try:
        asyncio.run(main())
    finally:
        process.kill()
        process.wait()


async def first_page(session: aiohttp.ClientSession, listing: str) -> str:
    """It is made a moment after the port is told."""
    while True:
        async with session.get(listing) as answer:
            pages = json.loads(await answer.text())
        for page in pages:
            if page["type"] == "page":
                return str(page["webSocketDebuggerUrl"])
        await asyncio.sleep(0.05)


def debugging_port(folder: Path) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        file = folder / "DevToolsActivePort"
        if file.exists() and file.read_text().strip():
            return int(file.read_text().split()[0])
        time.sleep(0.05)
    raise AssertionError("the browser did not start")
