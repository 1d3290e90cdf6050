"""A page in headless Chromium, driven over the DevTools protocol with the standard library alone.

Chromium reads commands from file descriptor 3 and answers on 4, JSON ended by a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time


def find_chromium():
    """The program's path, or None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """One tab. Use as a context manager; `errors` collects what console and scripts complain about,
    `requests` the addresses that the page asked for."""

    def __init__(self, program, width=1400, height=900, dark=False):
        self.errors = []
        self.requests = []
        # Its children may still write when it has ended.
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._buffer = b""
        self._next = 0
        self._session = None
        self._start(program)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target,
                                   flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self._call(domain + ".enable")
        self._call("Emulation.setEmulatedMedia",
                   features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.resize(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._folder.cleanup()

    def _start(self, program):
        commands_out, self._commands = os.pipe()
        self._answers, answers_in = os.pipe()
        switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                    "--disable-dev-shm-usage", "--remote-debugging-pipe",
                    f"--user-data-dir={self._folder.name}"]
        line = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
        self._process = subprocess.Popen(
            ["sh", "-c", line, "sh", program, *switches], pass_fds=(commands_out, answers_in),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(commands_out)
        os.close(answers_in)

    def _receive(self):
        while b"\0" not in self._buffer:
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def _call(self, method, **params):
        self._next += 1
        command = {"id": self._next, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") != self._next:
                self._note(message)
            elif "error" in message:
                raise RuntimeError(f"{method}: {message['error']['message']}")
            else:
                return message["result"]

    def open(self, path):
        """Loads a file and waits for it."""
        url = "file://" + str(path)
        self._call("Page.navigate", url=url)
        while self.run("document.readyState + location.href") != "complete" + url:
            time.sleep(0.02)
        self.settle()

    def resize(self, width, height):
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=1, mobile=False)

    def run(self, script):
        """The value of an expression; promises are awaited."""
        result = self._call("Runtime.evaluate", expression=script, returnByValue=True,
                            awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description"))
        return result["result"].get("value")

    def settle(self):
        """Waits until what was asked for is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def mouse(self, kind, x, y, **more):
        """kind: Moved, Pressed, Released or Wheel."""
        self._call("Input.dispatchMouseEvent", type="mouse" + kind, x=x, y=y, **more)
        self.settle()

    def key(self, key, **more):
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, **more)
        self.settle()

    def screenshot(self, path):
        data = self._call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
