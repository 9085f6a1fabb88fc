# SPDX-License-Identifier: Apache-2.0
"""A web service that judges passwords (POST /verify) and gives records (GET /users/NAME, POST /record).

It knows ann, whose password is tiger. Some user names make it misbehave. As a program (with a port, or without) it prints one line of JSON with
its address, and answers each line on standard input with the last request it has seen.
"""

import json
import sys
import urllib.parse

from web import WebServer


class Callout(WebServer):
    def __init__(self, users: dict | None = None, tls: tuple[str, str] | None = None, port: int = 0):
        self.users = users or {"ann": {"password": "tiger", "groups": ["staff"]}}
        self.last: dict = {}
        self.requests = 0
        self.down = False
        self.serve(tls, port)

    def answer(self, request, status, body=b"", length=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data) if length is None else length))
        request.end_headers()
        request.wfile.write(data)

    def handle(self, request, body):
        said = json.loads(body) if body else {}
        self.requests += 1
        self.last = {"method": request.command, "path": request.path, "json": said,
                     "authorization": request.headers.get("Authorization"), "site": request.headers.get("X-Site")}
        user = said.get("user") or urllib.parse.unquote(request.path.partition("?")[0].rpartition("/")[2])
        if self.down:
            return self.answer(request, 503)
        if self.misbehave(request, user):
            return None
        known = self.users.get(user)
        if known is None:
            return self.answer(request, 404, {})
        if request.path != "/verify":
            stored = known["password"] if known["password"].startswith("$") else "{PLAIN}" + known["password"]
            return self.answer(request, 200, {**known, "password": stored})
        if said.get("password") != known["password"]:
            return self.answer(request, 403, {})
        return self.answer(request, 200, {name: value for name, value in known.items() if name != "password"})

    def misbehave(self, request, user):
        if user == "hang":
            self.hang(request)
        elif user == "cut":
            pass
        elif user == "garbage":
            self.answer(request, 200, b"<html>It works!</html>")
            return True
        elif user == "truncated":
            self.answer(request, 200, b'{"groups":', 500)
        elif user == "endless":
            self.endless(request)
        elif user == "redirect":
            request.send_response(307)
            request.send_header("Location", self.address + "/verify?elsewhere")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return True
        elif user == "broken":
            self.answer(request, 500, {})
            return True
        else:
            return False
        request.close_connection = True
        return True


def main():
    service = Callout(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(json.dumps({"address": service.address}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(service.last), flush=True)


if __name__ == "__main__":
    main()
