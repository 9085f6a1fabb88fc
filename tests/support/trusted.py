# SPDX-License-Identifier: Apache-2.0
"""A web server over TLS whose certificate one CA vouches for, another CA that does not, and a directory such as a system
has, in which the first CA is found by its hash.

As a program it prints one line of JSON that says where all of them are, and ends with its standard input.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from slapd import make_ca
from web import WebServer


class Greeter(WebServer):
    def handle(self, request, body):
        request.send_response(200)
        request.send_header("Content-Length", "5")
        request.end_headers()
        request.wfile.write(b"hello")


def main():
    folder = Path(tempfile.mkdtemp(prefix="gatepost-trusted-"))
    own, other, system = (folder / name for name in ("own", "other", "system"))
    try:
        for made in (own, other, system):
            made.mkdir()
        make_ca(own)
        make_ca(other, "another CA")  # of one name, the first that is found would be the only one tried
        shutil.copy(own / "ca.pem", system)
        subprocess.run(["openssl", "rehash", system], check=True, capture_output=True)
        greeter = Greeter()
        greeter.serve((str(own / "cert.pem"), str(own / "key.pem")))
        print(json.dumps({"address": greeter.address, "ca": str(own / "ca.pem"), "other": str(other / "ca.pem"),
                          "system": str(system)}), flush=True)
        sys.stdin.read()
        greeter.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
