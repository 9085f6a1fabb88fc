# SPDX-License-Identifier: Apache-2.0
"""OpenLDAP's slapd with a small directory, on ports of loopback, in a folder of its own, with a CA made for it.

Addresses are numbers: OpenLDAP's library takes "localhost" in a certificate for the machine's own name.

As a program it prints one line of JSON that says where, and takes commands on standard input, one a line: stop, cont,
kill, start, password NEW; each answered with "ok".
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from gatepost import Lines
from ports import free_ports

SLAPD = "/usr/sbin/slapd"
SUFFIX = "dc=example,dc=org"
ACCOUNT = f"cn=relay,{SUFFIX}"
ACCOUNT_PASSWORD = "secret of the relay"

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile @DIR@/slapd.pid
argsfile @DIR@/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
threads 4
TLSCACertificateFile @DIR@/ca.pem
TLSCertificateFile @DIR@/cert.pem
TLSCertificateKeyFile @DIR@/key.pem
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin
directory @DIR@/db
index uid eq
overlay memberof
memberof-group-oc groupOfNames
access to attrs=userPassword by dn.exact="cn=relay,dc=example,dc=org" read by anonymous auth by * none
access to attrs=employeeNumber by * none
access to * by dn.exact="cn=relay,dc=example,dc=org" read by * none
database monitor
access to * by dn.exact="cn=admin,dc=example,dc=org" read by * none
"""

LDIF = """
dn: dc=example,dc=org
objectClass: domain
dc: example

dn: cn=relay,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: relay
userPassword: secret of the relay

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

@PEOPLE@
"""

GROUPS = """
dn: cn=staff,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=ann,ou=people,dc=example,dc=org

dn: cn=night\\, late,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: night, late
member: uid=ann,ou=people,dc=example,dc=org
"""

PERSON = """dn: uid={dn},ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
sn: {uid}
{more}

"""


def person(uid: str, *lines: str, dn: str | None = None) -> str:
    return PERSON.format(uid=uid, dn=dn or uid, more="\n".join(lines))


PEOPLE = "".join([
    person("ann", "userPassword: tiger", "o: lions", "mail: ann@example.org", "mail: @ann.example.org"),
    person("bob", "userPassword: leopard"),
    person("two", "userPassword: one", "userPassword: other"),
    person("nopass"),
    person("odd", "userPassword:: //4AAQ=="),
    person("twin", "userPassword: x"),
    person("twin", "userPassword: y", dn="twin2"),
    person("a*b", "userPassword: starred"),
    person("c,d+e", "userPassword: comma", dn="c\\2cd\\2be"),
    # secrets: one in each value, or a list of them; and limits
    person("shop", 'description: {"label": "till", "password": "{PLAIN}till-1", "scopes": ["relay"]}',
           'description: {"label": "web", "password": "{PLAIN}web-1", "not_after": "2001-01-01T00:00:00Z"}',
           'departmentNumber: {"sessions": 1}'),
    person("apps", 'description: [{"label": "one", "password": "{PLAIN}1", "networks": "192.0.2.0/24"}, '
                   '{"label": "two", "password": "{PLAIN}2"}]'),
    person("torn", 'description: [{"label": "till", "password": "{PLAIN}torn-1"'),
    person("limitless", 'departmentNumber: none'),
])


def make_ca(folder: Path, name: str = "CA of the test") -> None:
    """ca.pem, and cert.pem with key.pem for localhost."""
    run = {"check": True, "cwd": folder, "capture_output": True}
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "30", "-subj", f"/CN={name}"], **run)
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    "key.pem", "-out", "request.pem", "-subj", "/CN=localhost"], **run)
    (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    subprocess.run(["openssl", "x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                    "-CAcreateserial", "-days", "30", "-extfile", "ext", "-out", "cert.pem"], **run)
    folder.chmod(0o755)
    (folder / "ca.pem").chmod(0o644)


class Slapd:
    def __init__(self, people: str = PEOPLE):
        self.dir = Path(tempfile.mkdtemp(prefix="gatepost-slapd-"))
        make_ca(self.dir)
        (self.dir / "db").mkdir()
        (self.dir / "slapd.conf").write_text(CONFIG.replace("@DIR@", str(self.dir)))
        (self.dir / "data.ldif").write_text(LDIF.replace("@PEOPLE@", people))
        made = subprocess.run([SLAPD, "-T", "add", "-f", str(self.dir / "slapd.conf"), "-l",
                               str(self.dir / "data.ldif")], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        self.process = None
        self.port, self.tls_port = free_ports(2)
        self.start()
        # the overlay looks at what is added to a running server only
        self.admin("ldapadd", GROUPS)

    @property
    def uri(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_uri(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def ca(self) -> Path:
        return self.dir / "ca.pem"

    def start(self) -> None:
        for _ in range(5):
            uris = f"ldap://127.0.0.1:{self.port}/ ldaps://0.0.0.0:{self.tls_port}/"
            self.process = subprocess.Popen([SLAPD, "-h", uris, "-f", str(self.dir / "slapd.conf"), "-d", "conns"],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.PIPE)
            with contextlib.suppress(AssertionError):
                Lines(self.process.stderr).wait(r"added \d+r listener=0x", 2)  # each of the two listens
                return
            self.port, self.tls_port = free_ports(2)  # somebody took the port meanwhile
        raise AssertionError("slapd does not start")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def cont(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def password(self, new: str, uid: str = "ann") -> None:
        change = (f"dn: uid={uid},ou=people,{SUFFIX}\nchangetype: modify\nreplace: userPassword\n"
                  f"userPassword: {new}\n")
        self.admin("ldapmodify", change)

    def operations(self, kind: str) -> int:
        """How many of "Bind" or "Search" it has begun: counted before each is answered; who asks counts too: one of each."""
        done = subprocess.run(["ldapsearch", "-x", "-LLL", "-H", f"ldap://127.0.0.1:{self.port}", "-D",
                               f"cn=admin,{SUFFIX}", "-w", "admin", "-s", "base", "-b",
                               f"cn={kind},cn=Operations,cn=Monitor", "monitorOpInitiated"],
                              capture_output=True, text=True, check=True)
        return int(done.stdout.split("monitorOpInitiated:")[1].split()[0])

    def admin(self, program: str, ldif: str) -> None:
        subprocess.run([program, "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", f"cn=admin,{SUFFIX}", "-w", "admin"],
                       input=ldif, text=True, check=True, capture_output=True)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def main():
    slapd = Slapd()
    try:
        print(json.dumps({"uri": slapd.uri, "tls_uri": slapd.tls_uri, "ca": str(slapd.ca)}), flush=True)
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            getattr(slapd, command)(*([argument] if argument else []))
            print("ok", flush=True)
    finally:
        slapd.close()


if __name__ == "__main__":
    main()
