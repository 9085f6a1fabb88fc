# SPDX-License-Identifier: Apache-2.0
"""The client's side of SCRAM (RFC 5802, RFC 7677), with channel bindings: written from the RFCs, with hashlib alone."""

import base64
import hashlib
import hmac
import os


def b64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def unb64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def saslname(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


class Scram:
    """One exchange. `flag` is the GS2 flag: "n", "y" or "p=NAME", with `binding` the data that goes with it."""

    def __init__(self, user: str, password: str, *, hash_name: str = "sha256", flag: str = "n", binding: bytes = b"",
                 authzid: str = ""):
        self.hash_name, self.password, self.binding = hash_name, password, binding
        self.header = f"{flag},{'a=' + saslname(authzid) if authzid else ''},"
        self.nonce = b64(os.urandom(12))
        self.bare = f"n={saslname(user)},r={self.nonce}"
        self.salt = self.iterations = self.signature = None

    def first(self) -> str:
        return b64(self.header + self.bare)

    def _hmac(self, key: bytes, text: str | bytes) -> bytes:
        return hmac.digest(key, text.encode() if isinstance(text, str) else text, self.hash_name)

    def final(self, challenge: str) -> str:
        server_first = unb64(challenge).decode()
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        self.salt, self.iterations = unb64(fields["s"]), int(fields["i"])
        salted = hashlib.pbkdf2_hmac(self.hash_name, self.password.encode(), self.salt, self.iterations)
        key = self._hmac(salted, "Client Key")
        without_proof = f"c={b64(self.header.encode() + self.binding)},r={fields['r']}"
        said = f"{self.bare},{server_first},{without_proof}"
        proof = self._hmac(hashlib.new(self.hash_name, key).digest(), said)
        self.signature = self._hmac(self._hmac(salted, "Server Key"), said)
        return b64(f"{without_proof},p={b64(bytes(a ^ b for a, b in zip(key, proof)))}")

    def verify(self, challenge: str) -> bool:
        """The server has proved that it knows the keys too."""
        return unb64(challenge).decode() == "v=" + b64(self.signature)


def scram_login(client, mechanism: str, scram: Scram) -> str:
    """The last reply of a conversation with a Talk."""
    reply = client.ask(f"AUTH {mechanism} {scram.first()}")
    if not reply.startswith("334 "):
        return reply
    reply = client.ask(scram.final(reply[4:]))
    if not reply.startswith("334 "):
        return reply
    assert scram.verify(reply[4:])
    return client.ask("")


def keys(password: str, salt: bytes, iterations: int, hash_name: str = "sha256") -> dict:
    """What a server stores: base64."""
    salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    return {"salt": b64(salt), "iterations": iterations, "stored_key": b64(hashlib.new(hash_name, client_key).digest()),
            "server_key": b64(hmac.digest(salted, b"Server Key", hash_name))}
