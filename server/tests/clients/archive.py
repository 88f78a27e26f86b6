"""`cairn serve` as a child: on a free port of loopback, its data in a folder of its own."""

import os
import signal
import subprocess
import time
from pathlib import Path

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60


class Archive:
    """A running server. Use `with Archive(binary, folder) as archive`. With `peers`, it speaks DIMSE
    and knows these application entities: `AE@host:port`, with commas between."""

    def __init__(self, binary, folder, peers=None, **settings):
        self.binary = str(Path(binary).resolve())
        self.folder = Path(folder)
        self.settings = {f"CAIRN_SERVE__{key.upper()}": value for key, value in settings.items()}
        self.dimse = "none" if peers is None else "127.0.0.1:0"
        if peers:
            self.settings["CAIRN_DIMSE__PEERS"] = peers
        self.process = None
        self.root = None
        self.port = None

    @property
    def url(self):
        """Where DICOMweb is."""
        return self.root + "/dicom-web"

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "serve.log"
        command = [self.binary, "--data", str(self.folder / "data"), "serve", "--http", "127.0.0.1:0", "--dimse", self.dimse]
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ, **self.settings}
            )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in log.read_text(errors="replace").splitlines():
                _, found, root = line.partition("listening on http://")
                if found:
                    self.root = "http://" + root.strip()
                _, found, address = line.partition("DIMSE as CAIRN on ")
                if found:
                    self.port = int(address.strip().rpartition(":")[2])
            if self.root and (self.port or self.dimse == "none"):
                return self
            time.sleep(0.05)
        self.__exit__(None, None, None)
        raise RuntimeError(f"cairn does not come up: {log.read_text(errors='replace')[-2000:]}")

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return False

    def run(self, *arguments):
        """Runs `cairn` on this archive: its exit code, what it prints, what it says beside."""
        command = [self.binary, "--data", str(self.folder / "data"), *map(str, arguments)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def command(self, *arguments):
        """Runs what has to end well; what it prints."""
        code, printed, said = self.run(*arguments)
        if code != 0:
            raise RuntimeError(f"cairn {' '.join(map(str, arguments[:3]))} ended with {code}: {said[-500:]}")
        return printed

    def export(self, folder):
        """Every version of everything, as files below `folder`."""
        self.command("-q", "export", "--all", folder)
        return [path for path in Path(folder).rglob("*.dcm")]

    def metric(self, name):
        """The value of a line of /metrics; 0 if it is not there."""
        import requests

        for line in requests.get(self.root + "/metrics", timeout=30).text.splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0
