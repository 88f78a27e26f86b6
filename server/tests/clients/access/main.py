"""main.py CAIRN FOLDER NODE_MODULES: who is let in, by tokens of a real login provider; who looked, as a
real receiver of syslog and the schemas of two standards see it.

node-oidc-provider issues tokens, rsyslog takes DICOM audit messages over TLS, lxml checks them against the
grammar of PS3.15 A.5, and the `fhir` package AuditEvents against FHIR R4's base profile. What is not there
is named as NOT TESTED.
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parent.parent))

from archive import Archive  # noqa: E402
from tally import Tally  # noqa: E402

HERE = Path(__file__).parent
PATIENCE_SECONDS = 20
# Between two requests for keys that an unknown one causes.
PAUSE_SECONDS = 5.5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """node-oidc-provider. A new `key` is a rotation: the old one is not published any more."""

    def __init__(self, folder, modules):
        self.folder, self.port = folder, free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.process = None
        # Beside its packages, where node looks for them.
        self.script = modules.parent / "provider.mjs"
        shutil.copy(HERE / "provider.mjs", self.script)

    def start(self, key):
        self.stop()
        self.key = self.folder / f"{key}.json"
        with open(self.folder / "provider.log", "ab") as log:
            command = ["node", str(self.script), str(self.port), str(self.key)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if not eventually(lambda: self.answers()):
            raise RuntimeError("the login provider does not come up")

    def answers(self):
        try:
            return requests.get(self.issuer + "/jwks", timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def token(self, resource="urn:cairn", scope="imaging.read", client="viewer"):
        form = {
            "grant_type": "client_credentials", "client_id": client, "client_secret": "not a secret",
            "resource": resource, "scope": scope,
        }
        return requests.post(self.issuer + "/token", data=form, timeout=10).json()["access_token"]

    def public_pem(self):
        """The public key as a file of it would be."""
        script = (
            "const k = require('node:crypto').createPublicKey({ key: JSON.parse(require('fs')"
            ".readFileSync(process.argv[1])), format: 'jwk' });"
            "process.stdout.write(k.export({ type: 'spki', format: 'pem' }))"
        )
        return subprocess.run(["node", "-e", script, str(self.key)], check=True, capture_output=True).stdout


class Syslog:
    """rsyslog, receiving over TLS into a file, a message a line."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        self.file = folder / "received"
        run = lambda *command: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
        key, certificate = folder / "syslog.key", folder / "syslog.pem"
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=receiver", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate),
        )
        self.certificate = certificate
        (folder / "rsyslog.conf").write_text(
            f"""
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
       defaultNetstreamDriverCAFile="{certificate}" defaultNetstreamDriverCertFile="{certificate}"
       defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" port="{self.port}" address="127.0.0.1")
template(name="line" type="string" string="%pri%|%app-name%|%msgid%|%structured-data%|%msg%\\n")
*.* action(type="omfile" file="{self.file}" template="line")
"""
        )

    def start(self):
        command = ["rsyslogd", "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", str(self.folder / "rsyslog.pid")]
        with open(self.folder / "rsyslog.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def received(self):
        """Number of the line in the log, and message."""
        found = {}
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []:
            priority, app, kind, structured, message = line.split("|", 4)
            number = int(structured.partition('n="')[2].partition('"')[0])
            found[number] = (priority, app, kind, message.strip().lstrip("\ufeff"))
        return found


def attacks(provider, good):
    """What somebody might send instead of a good token, and the word that the audit log has for it."""
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]

    def sign(alg, key=None):
        new = base64url(json.dumps({"alg": alg, "typ": "at+jwt", "kid": kid}).encode()) + "." + body
        if key is None:
            return new + "."
        return new + "." + base64url(hmac.new(key, new.encode(), hashlib.sha256).digest())

    raised = base64url(json.dumps({**claims, "scope": "imaging.read imaging.write"}).encode())
    yield "no algorithm", sign("none"), "token_algorithm"
    yield "no algorithm, in capitals", sign("NONE"), "token_algorithm"
    yield "the public key as a shared secret", sign("HS256", provider.public_pem()), "token_algorithm"
    yield "a stripped signature", f"{head}.{body}.", "token_signature"
    yield "other claims under the signature", f"{head}.{raised}.{signature}", "token_signature"
    yield "another audience", provider.token("urn:other"), "token_audience"
    yield "no token", "x", "token_shape"


def access(tally, archive, provider):
    studies = archive.url + "/studies"

    def ask(token, method="GET", url=studies):
        return requests.request(method, url, headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code

    with tally.section("login provider: node-oidc-provider") as section:
        section.same(ask("x.y.z"), 401, "refused while the provider is away")
        provider.start("first")
        good = provider.token()
        section.hold(eventually(lambda: ask(good) == 200), "let in", "a good token")
        section.same(ask(good, "DELETE", studies + "/1.2"), 403, "kept to its scopes")
        section.same(ask(provider.token(scope="imaging.write")), 403, "kept to its scopes")
        section.same(ask(provider.token(scope="")), 403, "kept to its scopes")
        for name, token, _ in attacks(provider, good):
            section.same(ask(token), 401, "refused", name)
        short = provider.token("urn:short")
        section.same(ask(short), 200, "let in", "in time")
        time.sleep(4)
        section.same(ask(short), 401, "refused", "expired, and the skew is over")
        old = provider.token()
        provider.start("second")
        time.sleep(PAUSE_SECONDS)
        section.same(ask(provider.token()), 200, "let in", "signed with the new key")
        section.same(ask(old), 401, "refused", "signed with the old key")
    with tally.section("audit: each refusal has its line") as section:
        lines = [json.loads(line) for line in archive.command("--json", "audit", "show").splitlines()]
        words = {line.get("why") for line in lines}
        for word in ["token_algorithm", "token_signature", "token_audience", "token_shape", "token_expired",
                     "token_key", "permission"]:
            section.hold(word in words, "words", word)
        section.hold(any(line.get("who") == "viewer" and line["ok"] for line in lines), "names", "viewer")
        section.hold(not any(good.split(".")[2] in json.dumps(line) for line in lines), "without tokens", "a token")
        section.same(archive.run("audit", "verify")[0], 0, "as it was written")


def messages(tally, archive, receiver):
    from lxml import etree

    grammar = etree.RelaxNG.from_rnc_string((HERE / "audit-message.rnc").read_text())
    wanted = archive.command("audit", "export", "--format", "dicom").splitlines()
    with tally.section("DICOM audit messages: rsyslog over TLS, grammar of PS3.15 A.5") as section:
        if receiver is None:
            section.note("NOT TESTED: rsyslog with OpenSSL, or openssl, is not installed")
        else:
            whole = eventually(lambda: len(receiver.received()) >= len(wanted))
            found = receiver.received()
            section.hold(whole, "all came", f"{len(found)} of {len(wanted)}")
            heads = {head[:3] for head in found.values()}
            section.same(heads, {("85", "cairn", "DICOM+RFC3881")}, "heads")
            section.hold({text for *_, text in found.values()} >= set(wanted), "as exported", "other messages")
        for text in wanted:
            document = etree.fromstring(text.encode())
            section.hold(grammar.validate(document), "valid", f"{grammar.error_log.last_error}: {text[:300]}")
        broken = etree.fromstring(wanted[0].replace('UserIsRequestor="true"', 'UserIsRequestor="maybe"').encode())
        section.hold(not grammar.validate(broken), "broken ones found", "the grammar lets everything pass")


def events(tally, archive, modules):
    with tally.section("FHIR AuditEvents: base profile of R4") as section:
        script = modules.parent / "fhir.mjs"
        shutil.copy(HERE / "fhir.mjs", script)
        exported = archive.command("audit", "export", "--format", "fhir")
        done = subprocess.run(["node", str(script)], input=exported, capture_output=True, text=True)
        section.hold(done.returncode == 0, "valid together", done.stdout[-500:] + done.stderr[-500:])
        section.count("resources", len(exported.splitlines()))


def syslog_receiver(folder):
    modules = Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so")
    if not (shutil.which("rsyslogd") and shutil.which("openssl") and any(modules)):
        return None
    return Syslog(folder)


def main():
    binary, folder, modules = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]).resolve()
    os.environ["NO_PROXY"] = "127.0.0.1"
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    tally = Tally()
    provider, receiver = Provider(folder, modules), syslog_receiver(folder)
    (folder / "data").mkdir()
    settings = f"""
[identity]
issuer = "{provider.issuer}"
audience = "cairn"
skew_seconds = 1
[identity.roles.viewer]
scopes = "imaging.read"
allow = "search, read"
[identity.roles.sender]
scopes = "imaging.write"
allow = "store"
"""
    if receiver:
        settings += f"""
[audit]
syslog = "tls://127.0.0.1:{receiver.port}"
syslog_trusted = "{receiver.certificate}"
"""
        receiver.start()
    (folder / "data" / "cairn.toml").write_text(settings)
    try:
        with Archive(binary, folder) as archive:
            access(tally, archive, provider)
            messages(tally, archive, receiver)
            events(tally, archive, modules)
    finally:
        provider.stop()
        if receiver:
            receiver.stop()
    sys.exit(tally.finish(folder / "findings.txt"))


if __name__ == "__main__":
    main()
