# SPDX-License-Identifier: Apache-2.0
"""Independent clients: what they expect of a submission server, we do."""

import os
import shutil
import smtplib
import subprocess

import pytest
from gatepost import DEADLINE, Daemon, Sink, insecure_context
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, STATIC_USERS, policy, smart_host


@pytest.fixture(scope="module")
def relay():
    with Sink() as sink:
        with Daemon(policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY, smart_host(sink.port))) as daemon:
            daemon.sink = sink
            yield daemon


def run(*command: str, text: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], input=text, capture_output=True, timeout=DEADLINE, check=False)


def arrives(relay, act) -> None:
    before = len(relay.sink.messages)
    act()
    assert relay.sink.wait(before + 1)[before].recipients == ["you@dest.example"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(relay, mechanism):
    def act():
        shown = run("swaks", "--server", f"127.0.0.1:{relay.port}", "--tls", "--auth", mechanism, "--auth-user", "scott",
                    "--auth-password", "tiger", "--from", "scott@tiger.example", "--to", "you@dest.example")
        assert shown.returncode == 0, shown.stdout

    arrives(relay, act)
    refused = run("swaks", "--server", f"127.0.0.1:{relay.port}", "--tls", "--auth", mechanism, "--auth-user", "scott",
                  "--auth-password", "lion", "--from", "scott@tiger.example", "--to", "you@dest.example")
    assert refused.returncode == 28 and b"535 5.7.8" in refused.stdout


def test_swaks_pipelined(relay):
    arrives(relay, lambda: run("swaks", "--server", f"127.0.0.1:{relay.port}", "--tls", "--pipeline", "--auth", "PLAIN",
                               "--auth-user", "scott", "--auth-password", "tiger", "--from", "scott@tiger.example",
                               "--to", "you@dest.example"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_curl(relay, mechanism):
    def act():
        shown = run("curl", "-sS", "--ssl-reqd", "--insecure", "--url", f"smtp://127.0.0.1:{relay.port}/client.example",
                    "--user", "scott:tiger", "--login-options", f"AUTH={mechanism}", "--mail-from", "scott@tiger.example",
                    "--mail-rcpt", "you@dest.example", "--upload-file", "-", text=MESSAGE)
        assert shown.returncode == 0, shown.stderr

    arrives(relay, act)


def test_msmtp(relay):
    def act():
        shown = run("msmtp", "--host=127.0.0.1", f"--port={relay.port}", "--tls=on", "--tls-certcheck=off", "--auth=plain",
                    "--user=scott", "--passwordeval=echo tiger", "--from=scott@tiger.example", "you@dest.example",
                    text=MESSAGE)
        assert shown.returncode == 0, shown.stderr

    arrives(relay, act)


def test_gsasl(relay):
    for mechanism in ("PLAIN", "LOGIN"):
        shown = run("gsasl", "--smtp", "--connect", f"127.0.0.1:{relay.port}", "--mechanism", mechanism,
                    "--authentication-id", "scott", "--password", "tiger", "--authorization-id", "",
                    "--x509-ca-file=", "--quiet", text=b"\n")
        assert b"535" not in shown.stdout + shown.stderr, shown
        assert shown.returncode == 0, shown


def test_smtplib(relay):
    def act():
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=DEADLINE) as client:
            client.starttls(context=insecure_context())
            client.login("scott", "tiger")
            assert client.sendmail("scott@tiger.example", ["you@dest.example"], MESSAGE) == {}

    arrives(relay, act)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=DEADLINE) as client:
        client.starttls(context=insecure_context())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("scott", "wrong")


NODEMAILER = r"""
const transport = require('nodemailer').createTransport({
  host: '127.0.0.1', port: Number(process.argv[2]), secure: false, requireTLS: true,
  tls: { rejectUnauthorized: false }, auth: { user: 'scott', pass: process.argv[3] },
});
transport.sendMail({
  from: 'scott@tiger.example', to: 'you@dest.example', subject: 'gr\u00fc\u00df dich', text: 'body\n.\n..x\n',
}).then(info => console.log(info.response), err => { console.log(err.response); process.exitCode = 1; });
"""


@pytest.fixture(scope="module")
def nodemailer(tmp_path_factory):
    """A folder with a script that node can run: with Debian's package, else from the registry."""
    folder = tmp_path_factory.mktemp("nodemailer")
    script = folder / "send.js"
    script.write_text(NODEMAILER)
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    env = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
    if subprocess.run(["node", "-e", "require('nodemailer')"], env=env, capture_output=True, check=False).returncode:
        if not shutil.which("npm"):
            pytest.skip("neither node-nodemailer nor npm is installed")
        fetched = run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder, "nodemailer")
        if fetched.returncode:
            pytest.skip(f"npm cannot fetch nodemailer: {fetched.stderr.decode()[-200:]}")
    return lambda *args: subprocess.run(["node", script, *args], env=env, capture_output=True, text=True, check=False,
                                        timeout=DEADLINE)


def test_nodemailer(relay, nodemailer):
    def act():
        shown = nodemailer(str(relay.port), "tiger")
        assert shown.returncode == 0 and shown.stdout.startswith("250 OK ids="), shown

    arrives(relay, act)
    assert b"\r\n.\r\n..x" in relay.sink.messages[-1].data
    refused = nodemailer(str(relay.port), "lion")
    assert refused.returncode == 1 and refused.stdout.startswith("535 5.7.8"), refused


def test_openssl_s_client(relay):
    script = b"EHLO me\nAUTH PLAIN AHNjb3R0AHRpZ2Vy\nQUIT\n"  # -crlf adds the CR
    shown = run("openssl", "s_client", "-quiet", "-crlf", "-starttls", "smtp", "-connect", f"127.0.0.1:{relay.port}",
                text=script)
    assert b"235 2.7.0" in shown.stdout, shown


def test_smtp_sink_behind():
    """Postfix's sink, which checks pipelining and end of data in its own way."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen(["/usr/sbin/smtp-sink", *user, "-c", f"127.0.0.1:{port}", "100"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sink:
        try:
            with Daemon(policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY,
                               smart_host(port, queue="retry_interval = '1s'"))) as daemon:
                with smtplib.SMTP("127.0.0.1", daemon.port, timeout=DEADLINE) as client:
                    client.starttls(context=insecure_context())
                    client.login("scott", "tiger")
                    for _ in range(10):
                        client.sendmail("scott@tiger.example", ["you@dest.example"], MESSAGE)
                daemon.wait_records(lambda record: record["type"] == "Delivery", count=10)
        finally:
            sink.terminate()
