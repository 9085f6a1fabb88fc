# SPDX-License-Identifier: Apache-2.0
"""An HTTP server that speaks as much of HashiCorp Vault's API as a relay needs, with its statuses and bodies.

KV version 2 at "secret", version 1 at "kv", one namespace "team" with a "secret" of its own; logins by AppRole,
Kubernetes and JWT; tokens that end, can be renewed, are revoked; sealed, standby, rate-limited, denied; and what a
server may do besides: hang, answer garbage, cut, redirect. How a single read misbehaves is said by the last part of
its path, so that others go on meanwhile.

As a program (with a port, or without) it prints one line of JSON with its address and takes commands on standard input, one a line:
  {"set": {"sealed": true}}   {"put": ["secret", "users/ann", {...}]}   {"revoke": true}   {"counts": true}
each answered with a line of JSON.
"""

import json
import sys
import threading
import time

from web import WebServer

ROOT_TOKEN = "hvs.root-token-of-the-test"


class Vault(WebServer):
    def __init__(self, tls: tuple[str, str] | None = None, port: int = 0):
        self.lock = threading.RLock()
        self.sealed = False
        self.standby = False
        self.hang_logins = False
        self.hang_renewals = False
        self.ttl = 3600.0
        self.renewable = True
        self.renewals_left = 1000
        self.secret_id = "s3cret-id"
        self.jwt = "jwt-one"
        self.elsewhere = "http://127.0.0.1:1"
        self.tokens = {ROOT_TOKEN: {"ends": None, "renewable": False}}
        self.data = {"secret": {}, "kv": {}, "team/secret": {}}
        self.counts = {"logins": 0, "renewals": 0, "reads": 0, "refused": 0}
        self.serve(tls, port)

    # ---- what the test says ----

    def put(self, mount, path, data):
        with self.lock:
            self.data[mount][path] = data

    def revoke(self):
        """All tokens but the root's."""
        with self.lock:
            self.tokens = {ROOT_TOKEN: self.tokens[ROOT_TOKEN]}

    def grant(self, token=None, ttl=None, renewable=None):
        ttl = self.ttl if ttl is None else ttl
        renewable = self.renewable if renewable is None else renewable
        with self.lock:
            token = token or f"hvs.token-{len(self.tokens)}-{time.monotonic_ns()}"
            self.tokens[token] = {"ends": time.monotonic() + ttl if ttl else None, "renewable": renewable}
        return token

    # ---- HTTP ----

    def answer(self, request, status, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n"
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def errors(self, request, status, *texts):
        self.answer(request, status, {"errors": list(texts)})

    def denied(self, request):
        with self.lock:
            self.counts["refused"] += 1
        self.errors(request, 403, "permission denied")

    def is_good(self, token):
        with self.lock:
            known = self.tokens.get(token or "")
            return known and (known["ends"] is None or time.monotonic() < known["ends"])

    def handle(self, request, body):
        path = request.path
        if not path.startswith("/v1/"):
            return self.errors(request, 404, "no handler for route")
        if self.sealed:
            return self.errors(request, 503, "Vault is sealed")
        if self.standby:
            return self.errors(request, 473, "standby")
        path = path[4:]
        namespace = request.headers.get("X-Vault-Namespace", "").strip("/")
        if namespace not in ("", "team"):
            return self.denied(request)
        if path == "auth/token/renew-self" and request.command == "POST":
            return self.renew(request)
        if path.startswith("auth/") and path.endswith("/login") and request.command == "POST":
            return self.login(request, path[5:-6], body)
        if not self.is_good(request.headers.get("X-Vault-Token")):
            return self.denied(request)
        return self.read(request, (namespace + "/" if namespace else ""), path)

    def token_body(self, token, ttl, renewable):
        return {"request_id": "r", "lease_id": "", "renewable": False, "lease_duration": 0, "data": None,
                "wrap_info": None, "warnings": None,
                "auth": {"client_token": token, "accessor": "a", "policies": ["default"],
                         "token_policies": ["default"], "lease_duration": int(ttl), "renewable": renewable,
                         "entity_id": "", "token_type": "service", "orphan": True}}

    def login(self, request, mount, body):
        with self.lock:
            self.counts["logins"] += 1
        if self.hang_logins:
            return self.hang(request)
        try:
            said = json.loads(body)
        except ValueError:
            return self.errors(request, 400, "failed to parse JSON input")
        if mount in ("approle", "team-approle"):
            if said.get("role_id") != "relay-role" or said.get("secret_id") != self.secret_id:
                return self.errors(request, 400, "invalid role or secret ID")
        elif mount in ("kubernetes", "jwt"):
            if said.get("role") != "relay" or said.get("jwt") != self.jwt:
                return self.errors(request, 403, "permission denied")
        else:
            return self.errors(request, 404, f'no handler for route "auth/{mount}/login". route entry not found.')
        token = self.grant()
        return self.answer(request, 200, self.token_body(token, self.ttl, self.renewable))

    def renew(self, request):
        token = request.headers.get("X-Vault-Token")
        with self.lock:
            self.counts["renewals"] += 1
        if self.hang_renewals:
            return self.hang(request)
        with self.lock:
            if not self.is_good(token):
                return self.denied(request)
            known = self.tokens[token]
            if not known["renewable"] or self.renewals_left <= 0:
                return self.errors(request, 400, "lease is not renewable")
            self.renewals_left -= 1
            known["ends"] = time.monotonic() + self.ttl
        return self.answer(request, 200, self.token_body(token, self.ttl, True))

    def read(self, request, namespace, path):
        import urllib.parse

        with self.lock:
            self.counts["reads"] += 1
        mount, _, rest = path.partition("/")
        mount = namespace + mount
        if mount not in self.data:
            return self.errors(request, 404, f'no handler for route "{path}". route entry not found.')
        version = 1 if mount == "kv" else 2
        if version == 2 and not rest.startswith("data/"):
            return self.answer(request, 404, {"request_id": "r", "lease_id": "", "renewable": False,
                                              "lease_duration": 0, "data": None, "wrap_info": None,
                                              "warnings": ["Invalid path for a versioned K/V secrets engine. See the "
                                                           "API docs for the appropriate API endpoints to use."],
                                              "auth": None})
        name = urllib.parse.unquote(rest[5:] if version == 2 else rest)
        if self.misbehave(request, name.rpartition("/")[2]):
            return None
        data = self.data[mount].get(name)
        if data is None:
            return self.errors(request, 404)
        if version == 1:
            return self.answer(request, 200, {"request_id": "r", "lease_id": "", "renewable": False,
                                              "lease_duration": 2764800, "data": data, "wrap_info": None,
                                              "warnings": None, "auth": None})
        return self.answer(request, 200, {"request_id": "r", "lease_id": "", "renewable": False, "lease_duration": 0,
                                          "data": {"data": data, "metadata": {
                                              "created_time": "2026-01-01T00:00:00Z", "custom_metadata": None,
                                              "deletion_time": "", "destroyed": False, "version": 1}},
                                          "wrap_info": None, "warnings": None, "auth": None})

    def misbehave(self, request, name):
        if name == "hang":
            self.hang(request)
        elif name == "denied":
            self.denied(request)
        elif name == "busy":
            self.errors(request, 429, 'request path "secret/data/x": rate limit quota exceeded')
        elif name == "standby-472":
            self.errors(request, 472)
        elif name == "standby-473":
            self.errors(request, 473)
        elif name == "sealed":
            self.errors(request, 503, "Vault is sealed")
        elif name == "broken":
            self.errors(request, 500, "internal error")
        elif name == "bad-request":
            self.errors(request, 400, "bad request")
        elif name == "garbage":
            self.answer(request, 200, b"<html>It works!</html>")
        elif name == "not-vault":
            self.answer(request, 404, b"<html>nginx</html>")
        elif name == "number":
            self.answer(request, 200, {"data": {"data": 5}})
        elif name == "deleted":
            self.answer(request, 404, {"request_id": "r", "data": {"data": None, "metadata": {
                "created_time": "2026-01-01T00:00:00Z", "deletion_time": "2026-01-02T00:00:00Z", "destroyed": False,
                "version": 1}}})
        elif name == "truncated":
            request.send_response(200)
            request.send_header("Content-Length", "500")
            request.end_headers()
            request.wfile.write(b'{"data":{"data":{"password":"ti')
            request.close_connection = True
        elif name == "endless":
            self.endless(request)
        elif name == "redirect":
            request.send_response(307)
            request.send_header("Location", f"{self.elsewhere}/v1/secret/data/users/ann")
            request.send_header("Content-Length", "0")
            request.end_headers()
        else:
            return False
        return True


def main():
    vault = Vault(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    vault.put("secret", "users/ann", {"password": "tiger", "groups": "staff,ops", "tenant": "lions"})
    vault.put("secret", "users/key", {"key": "tiger"})
    vault.put("kv", "users/ann", {"password": "leopard"})
    vault.put("team/secret", "users/ann", {"password": "panther"})
    print(json.dumps({"address": vault.address}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        for name, value in command.get("set", {}).items():
            setattr(vault, name, value)
        if "put" in command:
            vault.put(*command["put"])
        if "revoke" in command:
            vault.revoke()
        if "grant" in command:
            vault.grant(**command["grant"])
        print(json.dumps(vault.counts), flush=True)


if __name__ == "__main__":
    main()
