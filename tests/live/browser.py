"""A headless Chromium, driven through its DevTools protocol."""

import itertools
import json
import shutil
import subprocess
import time

import httpx
from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_S = 60
"""Seconds for a page to get ready; Label Studio's editor took 3 to 10 s."""


class Browser:
    """One page, without any way to other machines."""

    def __init__(self, home):
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise RuntimeError(f"there is none of {', '.join(NAMES)}; install Chromium to run the browser's test")
        offline = [
            "--proxy-server=http://127.0.0.1:9",
            "--proxy-bypass-list=127.0.0.1",
            "--disable-background-networking",
        ]
        plain = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1400,1000"]
        self._process = subprocess.Popen(
            [program, *plain, *offline, "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = itertools.count(1)
        port = self._until(lambda: self._port(home), "Chromium")
        pages = httpx.get(f"http://127.0.0.1:{port}/json", timeout=10).json()
        page = next(page for page in pages if page["type"] == "page")
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None)

    def close(self):
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)

    def open(self, url):
        self._ask("Page.navigate", url=url)

    def run(self, script):
        """What a piece of JavaScript gives."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def until(self, script):
        """Wait until a piece of JavaScript gives something true; that."""
        return self._until(
            lambda: self.run(f"(() => {{ try {{ return {script} }} catch {{ return null }} }})()"), script
        )

    def press(self, text):
        """Wait for the button with this text to be ready, and press it."""
        button = f"[...document.querySelectorAll('button')].find(b => b.innerText.trim() === {json.dumps(text)})"
        self.until(f"{button} && !{button}.disabled && ({button}.click(), true)")

    def _ask(self, method, **params):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=WAIT_S))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    def _until(self, look, what):
        deadline = time.monotonic() + WAIT_S
        while not (seen := look()):
            assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
            time.sleep(0.2)
        return seen

    @staticmethod
    def _port(home):
        told = home / "DevToolsActivePort"
        return told.read_text().splitlines()[0] if told.exists() and told.read_text() else None
