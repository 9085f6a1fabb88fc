# SPDX-License-Identifier: Apache-2.0
"""Independent clients: what they expect of a submission server, we do."""

import os
import re
import shutil
import smtplib
import subprocess

import pytest
from gatepost import DEADLINE, Daemon, Sink, give, insecure_context, make_dir
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, STATIC_USERS, policy, smart_host
from ports import free_port
from sasl import Scram, b64, unb64


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


def logins(daemon, mechanism: str, result: str) -> int:
    return len(re.findall(f"login mechanism={mechanism} .*result={result}", daemon.err.text()))


def logs_in(daemon, mechanism: str, act) -> None:
    """`act` ends well, and what it did was a login."""
    before = logins(daemon, mechanism, "ok")
    shown = act()
    assert shown.returncode == 0, shown
    daemon.err.wait(f"login mechanism={mechanism} .*result=ok", before + 1)


def gsasl(daemon, mechanism: str, *more) -> subprocess.CompletedProcess:
    return run("gsasl", "--smtp", "--connect", f"127.0.0.1:{daemon.port}", "--starttls", "--mechanism", mechanism,
               "--authorization-id", "", "--x509-ca-file=", "--quiet", *more, text=b"\n")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_gsasl(relay, mechanism):
    logs_in(relay, mechanism, lambda: gsasl(relay, mechanism, "--authentication-id", "scott", "--password", "tiger"))


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
  tls: { rejectUnauthorized: false },
  auth: { type: process.argv[4], user: 'scott', pass: process.argv[3], accessToken: process.argv[3] },
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


# ---- the same clients with other mechanisms ----

OTHER_USERS = """
kumo.on('smtp_server_auth_scram', function(authc, mechanism, conn_meta)
  if authc == 'scott' then return { password = 'tiger' } end
  return false
end)
kumo.on('smtp_server_auth_bearer', function(authz, token, claims, conn_meta)
  return token == 'scotts-token' and 'scott'
end)
kumo.on('smtp_server_auth_external', function(authz, certificate, conn_meta)
  return certificate.subject == 'CN=scott' and 'scott'
end)
"""
OWN = (", tls_certificate = '@DIR@/own.pem', tls_private_key = '@DIR@/own.key', tls_required_client_ca = '@DIR@/scott.pem'"
       ", auth_mechanisms = { 'SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'SCRAM-SHA-1', 'OAUTHBEARER', 'XOAUTH2', 'EXTERNAL' }")


def make_certificate(directory, name: str, usage: str) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", f"/CN={name}", "-addext", f"extendedKeyUsage={usage}", "-keyout",
                    directory / f"{name}.key", "-out", directory / f"{name}.pem"], check=True, capture_output=True)
    give(directory / f"{name}.key")
    give(directory / f"{name}.pem")


@pytest.fixture(scope="module")
def modern():
    directory = make_dir()
    make_certificate(directory, "own", "serverAuth")
    make_certificate(directory, "scott", "clientAuth")
    with Sink() as sink:
        with Daemon(policy(OTHER_USERS, AUTHENTICATED_MAY_RELAY, smart_host(sink.port), listener=OWN),
                    directory=directory) as daemon:
            daemon.sink = sink
            yield daemon


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_gsasl_scram(modern, mechanism):
    def ask(password):
        # --no-cb: it refuses by itself to do without a binding that it could have
        binding = [] if mechanism.endswith("PLUS") else ["--no-cb"]
        return gsasl(modern, mechanism, *binding, "--authentication-id", "scott", "--password", password)

    logs_in(modern, mechanism, lambda: ask("tiger"))
    shown = ask("lion")
    assert b"535 5.7.8" in shown.stdout + shown.stderr, shown


def test_gsasl_external(modern):
    logs_in(modern, "EXTERNAL", lambda: gsasl(modern, "EXTERNAL", f"--x509-cert-file={modern.dir / 'scott.pem'}",
                                              f"--x509-key-file={modern.dir / 'scott.key'}"))


@pytest.mark.parametrize("method, mechanism, secret, wrong", [
    ("scram-sha-256", "SCRAM-SHA-256", "tiger", "lion"), ("scram-sha-1", "SCRAM-SHA-1", "tiger", "lion"),
    ("oauthbearer", "OAUTHBEARER", "scotts-token", "mias-token"), ("xoauth2", "XOAUTH2", "scotts-token", "mias-token"),
    ("external", "EXTERNAL", "", None),
])
def test_msmtp_others(modern, method, mechanism, secret, wrong):
    def ask(word):
        certificate = []
        if method == "external":
            certificate = [f"--tls-cert-file={modern.dir / 'scott.pem'}", f"--tls-key-file={modern.dir / 'scott.key'}"]
        return run("msmtp", "--host=127.0.0.1", f"--port={modern.port}", "--tls=on", "--tls-certcheck=off",
                   f"--auth={method}", "--user=scott", *certificate,
                   f"--passwordeval=echo {word}", "--from=scott@tiger.example", "you@dest.example", text=MESSAGE)

    arrives(modern, lambda: logs_in(modern, mechanism, lambda: ask(secret)))
    if wrong:
        assert ask(wrong).returncode != 0


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "EXTERNAL"])  # it prefers OAUTHBEARER to XOAUTH2 whatever one says
def test_curl_others(modern, mechanism):
    def ask(token):
        secret = ["--oauth2-bearer", token]
        if mechanism == "EXTERNAL":
            secret = ["--cert", modern.dir / "scott.pem", "--key", modern.dir / "scott.key"]
        return run("curl", "-sS", "--ssl-reqd", "--insecure", "--url", f"smtp://127.0.0.1:{modern.port}/client.example",
                   "--user", "scott:", *secret, "--login-options", f"AUTH={mechanism}", "--mail-from",
                   "scott@tiger.example", "--mail-rcpt", "you@dest.example", "--upload-file", "-", text=MESSAGE)

    arrives(modern, lambda: logs_in(modern, mechanism, lambda: ask("scotts-token")))
    if mechanism != "EXTERNAL":
        assert ask("mias-token").returncode == 67  # "login denied"


def test_smtplib_others(modern):
    def connect():
        client = smtplib.SMTP("127.0.0.1", modern.port, timeout=DEADLINE)
        client.starttls(context=insecure_context())
        client.ehlo()
        return client

    with connect() as client:
        client.auth("XOAUTH2", lambda challenge=None: "user=scott\1auth=Bearer scotts-token\1\1")
        assert client.sendmail("scott@tiger.example", ["you@dest.example"], MESSAGE) == {}
    with connect() as client, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        client.auth("XOAUTH2", lambda challenge=None: "" if challenge else "user=scott\1auth=Bearer mias-token\1\1")
    assert refused.value.smtp_code == 535
    with connect() as client:
        scram = Scram("scott", "tiger")

        def answer(challenge=None):
            if challenge is None:
                return scram.header + scram.bare
            return "" if challenge.startswith(b"v=") else unb64(scram.final(b64(challenge))).decode()

        client.auth("SCRAM-SHA-256", answer)
        assert client.sendmail("scott@tiger.example", ["you@dest.example"], MESSAGE) == {}


def test_nodemailer_xoauth2(modern, nodemailer):
    def act():
        shown = nodemailer(str(modern.port), "scotts-token", "OAuth2")
        assert shown.returncode == 0 and shown.stdout.startswith("250 OK ids="), shown

    arrives(modern, act)
    before = logins(modern, "XOAUTH2", "refused")
    refused = nodemailer(str(modern.port), "mias-token", "OAuth2")  # it keeps our reply to itself
    assert refused.returncode == 1, refused
    modern.err.wait("login mechanism=XOAUTH2 .*result=refused", before + 1)


def test_smtp_sink_behind():
    """Postfix's sink, which checks pipelining and end of data in its own way."""
    port = free_port()
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
