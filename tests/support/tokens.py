# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens for tests: keys, JSON Web Tokens made with python3-cryptography, and an issuer that publishes its keys
and judges tokens over HTTP (RFC 7517, RFC 7662), in a process of its own so that it can be paused and killed.

    key = Key("ES256")
    with Issuer(keys=[key]) as issuer:
        token = key.mint(claims(issuer.address, "ann"))
        issuer.publish(key, Key("EdDSA"))           # a rotation
        issuer.introspects({"opaque": {"active": True, "username": "ann"}})
        issuer.behaves(way="hang")                  # answer, hang, garbage, cut, redirect, drip; or status=500
        issuer.pause(); issuer.resume(); issuer.kill(); issuer.restart()

As a program it prints one line with its address and takes commands on standard input, one line of JSON each, each
answered with a line of JSON.
"""

import base64
import http.server
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

from gatepost import DEADLINE
from ports import free_port

CLIENT = ("relay", "s3cret")
AUDIENCE = "smtp.example"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    """A private key for one algorithm; `kid` None makes a nameless key and nameless tokens."""

    made = 0

    def __init__(self, algorithm: str = "ES256", kid: str | None = ""):
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

        Key.made += 1
        self.algorithm = algorithm
        self.kid = f"key-{Key.made}" if kid == "" else kid
        self.private = {
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }[algorithm]()

    def jwk(self) -> dict:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self.private.public_key()
        if self.algorithm == "EdDSA":
            numbers = {"kty": "OKP", "crv": "Ed25519", "x": b64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
        elif self.algorithm == "ES256":
            found = public.public_numbers()
            numbers = {"kty": "EC", "crv": "P-256", "x": b64url(found.x.to_bytes(32, "big")),
                       "y": b64url(found.y.to_bytes(32, "big"))}
        else:
            found = public.public_numbers()
            numbers = {"kty": "RSA", "n": b64url(found.n.to_bytes(256, "big")), "e": b64url(found.e.to_bytes(3, "big"))}
        return {**numbers, "use": "sig", "alg": self.algorithm, **({"kid": self.kid} if self.kid else {})}

    def sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

        if self.algorithm == "EdDSA":
            return self.private.sign(data)
        if self.algorithm == "RS256":
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def mint(self, payload: dict, **header) -> str:
        """A token; `header` adds to its header, and None takes a member out of it."""
        head = {"alg": self.algorithm, "typ": "at+jwt", **({"kid": self.kid} if self.kid else {}), **header}
        head = {name: value for name, value in head.items() if value is not None}
        signed = b64url(json.dumps(head).encode()) + "." + b64url(json.dumps(payload).encode())
        return signed + "." + b64url(self.sign(signed.encode()))


def claims(issuer: str, user: str, **more) -> dict:
    """A good token's claims, for five minutes; None takes one out."""
    now = int(time.time())
    all_of_them = {"iss": issuer, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 300, **more}
    return {name: value for name, value in all_of_them.items() if value is not None}


def key_set(*keys: Key) -> str:
    return json.dumps({"keys": [key.jwk() for key in keys]})


class Issuer:
    """The process; everything that is set is set again after restart()."""

    def __init__(self, keys=(), tls: tuple[str, str] | None = None):
        self.tls = list(tls or ())
        self.port = free_port()
        self.state = {"keys": [], "tokens": {}, "way": "answer", "status": 200}
        self.process = None
        self.restart()
        self.publish(*keys)

    def restart(self) -> None:
        """On the same port as before."""
        self.process = subprocess.Popen([sys.executable, __file__, str(self.port), *self.tls], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.address = f"{'https://localhost' if self.tls else 'http://127.0.0.1'}:{self.port}"
        self._tell(self.state)

    def _tell(self, state: dict) -> dict:
        self.process.stdin.write(json.dumps(state) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def _set(self, **state) -> None:
        self.state.update(state)
        self._tell(state)

    def publish(self, *keys: Key) -> None:
        self._set(keys=[key.jwk() for key in keys])

    def introspects(self, tokens: dict) -> None:
        """What is answered about which token; of all others it says that they are not active."""
        self._set(tokens=tokens)

    def behaves(self, way: str = "answer", status: int = 200) -> None:
        self._set(way=way, status=status)

    def wait_for_requests(self, path: str, more: int) -> None:
        """For so many from now on."""
        wanted = self.counts().get(path, 0) + more
        assert self._tell({"wait": [path, wanted, DEADLINE]})["counts"].get(path, 0) >= wanted

    def counts(self) -> dict:
        """Requests so far: {"/jwks": 1, "/introspect": 2}."""
        return self._tell({})["counts"]

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self) -> "Issuer":
        return self

    def __exit__(self, *unused) -> None:
        if self.process.returncode is None:
            self.kill()


# ---- the program ----


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *unused):
        pass

    def answer(self, status: int, body: str, **headers) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def misbehave(self, way: str) -> None:
        self.close_connection = True
        if way == "hang":
            threading.Event().wait()
        elif way == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                self.wfile.write(b" ")
                select.select([self.connection], [], [], 0.05)  # until it is hung up
        elif way == "garbage":
            self.answer(200, "<html>It works!</html>")
        elif way == "redirect":
            self.answer(302, "", Location="/elsewhere" + self.path)

    def serve(self, body: str) -> None:
        state = self.server.state
        with self.server.changed:
            state["counts"][self.path] = state["counts"].get(self.path, 0) + 1
            self.server.changed.notify_all()
        if state["way"] != "answer":
            self.misbehave(state["way"])
        elif state["status"] != 200:
            self.answer(state["status"], json.dumps({"error": "server_error"}))
        elif self.path.endswith("/jwks") and self.command == "GET":
            self.answer(200, json.dumps({"keys": state["keys"]}))
        elif self.path.endswith("/introspect") and self.command == "POST":
            self.introspect(urllib.parse.parse_qs(body, strict_parsing=True))
        else:
            self.answer(404, "{}")

    def introspect(self, form: dict) -> None:
        account = base64.b64encode(":".join(CLIENT).encode()).decode()
        if self.headers.get("Authorization") != "Basic " + account:
            self.answer(401, json.dumps({"error": "invalid_client"}), WWW_Authenticate="Basic")
            return
        self.answer(200, json.dumps(self.server.state["tokens"].get(form["token"][0], {"active": False})))

    def do_GET(self):
        self.serve("")

    def do_POST(self):
        self.serve(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", port), Handler)
        self.changed = threading.Condition()
        self.state = {"keys": [], "tokens": {}, "way": "answer", "status": 200, "counts": {}}

    def handle_error(self, request, client_address):
        pass


def main() -> None:
    server = Server(int(sys.argv[1]))
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    for line in sys.stdin:
        said = json.loads(line)
        with server.changed:
            if "wait" in said:
                path, least, seconds = said.pop("wait")
                server.changed.wait_for(lambda path=path, least=least: server.state["counts"].get(path, 0) >= least, seconds)
            server.state.update(said)
            print(json.dumps({"counts": server.state["counts"]}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
