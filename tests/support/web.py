# SPDX-License-Identifier: Apache-2.0
"""What HTTP servers of the tests have in common: a port of loopback, TLS where there is a certificate, a thread for each
request, and an end that wakes those who hang. And such a server as a process of its own, to be paused and killed."""

import contextlib
import http.server
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path

from ports import free_port


class WebServer:
    """Whoever is one of these has `handle(request, body)`; it is ready when all that `handle` looks at is there."""

    def serve(self, tls: tuple[str, str] | None = None, port: int = 0):
        self.ended = threading.Event()
        self.is_hanging = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *unused):
                pass

            def do_GET(self):
                owner.handle(self, b"")

            def do_POST(self):
                owner.handle(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.address = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hang(self, request):
        self.is_hanging.set()
        self.ended.wait(600)
        request.close_connection = True

    def endless(self, request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not self.ended.is_set():
                request.wfile.write(b" " * 65536)
        request.close_connection = True

    def close(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class WebProcess:
    """One of the programs beside this file, on the same port each time it is started."""

    def __init__(self, program: str):
        self.command = [sys.executable, Path(__file__).with_name(program), str(free_port())]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = json.loads(self.process.stdout.readline())["address"]

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def cont(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()
