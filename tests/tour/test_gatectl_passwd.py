# SPDX-License-Identifier: Apache-2.0
"""gatectl passwd as an operator uses it: at a terminal, in a script, on a passwd-file; what it makes is read by others."""

import os
import pty
import re
import shutil
import stat
import subprocess
import threading

import pytest
from gatepost import BUILD, DEADLINE

GATECTL = BUILD / "src" / "ctl" / "gatectl"
CHEAP = ["--memory", "64", "--rounds", "1"]


def passwd(*args, stdin="correct horse\n") -> subprocess.CompletedProcess:
    return subprocess.run([GATECTL, "passwd", *map(str, args)], input=stdin, capture_output=True, text=True,
                          check=False, timeout=DEADLINE)


def matches(stored: str, password: str) -> bool:
    shown = passwd("--verify", stored, stdin=password + "\n")
    assert shown.returncode in (0, 1), shown
    assert shown.stdout == ("the password matches\n" if shown.returncode == 0 else "the password does not match\n")
    return shown.returncode == 0


@pytest.mark.parametrize("scheme, options, form", [
    ("argon2id", CHEAP, r"\$argon2id\$v=19\$m=64,t=1,p=1\$[^$]{22}\$[^$]{43}"),
    ("argon2i", [*CHEAP, "--parallelism", "2"], r"\$argon2i\$v=19\$m=64,t=1,p=2\$.*"),
    ("bcrypt", ["--rounds", "4"], r"\$2b\$04\$.{53}"),
    ("yescrypt", ["--rounds", "1"], r"\$y\$j75\$.*\$.{43}"),
    ("scrypt", ["--memory", "64"], r"\$scrypt\$ln=6,r=8,p=2\$.*"),
    ("SHA512-CRYPT", ["--rounds", "1000"], r"\$6\$rounds=1000\$.*\$.{86}"),
    ("sha256-crypt", ["--rounds", "1000"], r"\$5\$rounds=1000\$.*\$.{43}"),
    ("pbkdf2-sha256", ["--rounds", "1000"], r"\$pbkdf2-sha256\$1000\$.*"),
    ("scram-sha-256", ["--rounds", "4096"], r"{SCRAM-SHA-256}4096,.*,.*,.*"),
    ("plain", [], r"{PLAIN}correct horse"),
])
def test_a_password_from_stdin(scheme, options, form):
    shown = passwd("--scheme", scheme, *options)
    assert shown.returncode == 0 and not shown.stderr, shown
    stored = shown.stdout.removesuffix("\n")
    assert re.fullmatch(form, stored), stored
    assert matches(stored, "correct horse")
    assert not matches(stored, "correct hors")


def test_keys_of_scram_beside_others():
    old = passwd("--scheme", "scram-sha-256", "--rounds", "4096", stdin="old\n").stdout.strip()
    new = passwd("--beside", old).stdout.strip()
    assert new.split(",")[:2] == old.split(",")[:2] and new != old
    assert matches(new, "correct horse") and not matches(new, "old")
    for args in (("--beside", passwd(*CHEAP).stdout.strip()), ("--beside", "nonsense"), ("--beside", old, "--verify", old)):
        shown = passwd(*args)
        assert shown.returncode and not shown.stdout and shown.stderr.startswith("gatectl: "), shown


def test_the_default_is_what_the_manual_says():
    assert passwd().stdout.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_line_end_is_no_part_of_the_password():
    stored = passwd(*CHEAP, stdin="correct horse").stdout.strip()
    for stdin in ("correct horse", "correct horse\n", "correct horse\r\n", "correct horse\nanother line\n"):
        assert passwd("--verify", stored, stdin=stdin).returncode == 0
    assert passwd("--verify", stored, stdin=" correct horse\n").returncode == 1


def test_other_programs_read_what_we_make(tmp_path):
    users = tmp_path / "users"
    assert passwd("--scheme", "bcrypt", "--rounds", "4", "--file", users, "--user", "ann").returncode == 0
    assert subprocess.run(["htpasswd", "-vb", users, "ann", "correct horse"], check=False, capture_output=True,
                          timeout=DEADLINE).returncode == 0
    assert subprocess.run(["htpasswd", "-vb", users, "ann", "wrong"], check=False, capture_output=True,
                          timeout=DEADLINE).returncode != 0


def test_what_other_programs_made_is_verified():
    for flag in ("-nbm", "-nbB", "-nbs", "-nb2", "-nb5"):
        made = subprocess.run(["htpasswd", flag, "ann", "correct horse"], check=True, capture_output=True, text=True,
                              timeout=DEADLINE).stdout.strip()
        assert matches(made.removeprefix("ann:"), "correct horse"), made
        assert not matches(made.removeprefix("ann:"), "correct Horse"), made


@pytest.mark.parametrize("args, said", [
    (["--scheme", "rot13"], "no scheme"),
    (["--rounds", "0"], "--rounds"),
    (["--memory", "much"], "--memory"),
    (["--nonsense"], "--help"),
    (["correct horse"], "not taken from the command line"),
    (["--user", "ann"], "go together"),
    (["--file", "x"], "go together"),
    (["--file", "x", "--user", "a:b"], "no colon"),
    (["--file", "x", "--user", "ann", "--verify", "y"], "changes no file"),
    (["--verify", "$2b$broken"], "not a well-formed bcrypt"),
    (["--verify", "{SMD5}c2VjcmV0"], "names a scheme that is not known"),
])
def test_a_wrong_command_line(args, said):
    shown = passwd(*args)
    assert shown.returncode == 2 and said in shown.stderr and not shown.stdout, shown


@pytest.mark.parametrize("args, stdin, said", [
    ([], "", "there is no password"),
    ([], "\n", "the password is empty"),
    ([], "x" * 5000, "longer than 4096"),
    (["--scheme", "bcrypt"], "x" * 73, "at most 72"),
    (["--scheme", "bcrypt", "--rounds", "40"], "x", "from 4 to 16"),
    (["--scheme", "ssha"], "x", "only verified"),
])
def test_what_cannot_be_made(args, stdin, said):
    shown = passwd(*args, stdin=stdin)
    assert shown.returncode == 1 and said in shown.stderr and not shown.stdout, shown


# ---- at a terminal ----


def at_terminal(args, answers) -> tuple[int, str, str]:
    """Exit status, what the terminal showed (prompts and echo), and stdout."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([GATECTL, "passwd", *args], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE,
                          text=True) as process:
        os.close(theirs)
        shown = b""
        for answer in answers:
            while not shown.endswith(b": "):
                shown += os.read(ours, 1024)
            os.write(ours, answer.encode() + b"\n")
            shown += b"|"
        try:
            while more := os.read(ours, 1024):
                shown += more
        except OSError:  # the other side is closed: Linux says so with an error
            pass
        stdout, _ = process.communicate(timeout=DEADLINE)
    os.close(ours)
    return process.returncode, shown.decode(), stdout


def test_a_terminal_is_asked_twice_and_shows_nothing():
    status, shown, stdout = at_terminal(CHEAP, ["correct horse", "correct horse"])
    assert status == 0 and shown.startswith("Password: ") and "again" in shown and "horse" not in shown
    status, shown, _ = at_terminal(["--verify", stdout.strip()], ["correct horse"])
    assert status == 0 and "again" not in shown and "horse" not in shown


def test_two_that_differ_are_refused():
    status, shown, stdout = at_terminal(CHEAP, ["correct horse", "correct hose"])
    assert status == 1 and "not the same" in shown and not stdout


# ---- a passwd-file ----

OTHERS = "# people\n\nbob:{PLAIN}bob's\nanna:$1$abcdefgh$y6iHhJNbuC0xpbk0w9pm80::::::tenant=lions\n"


def set_password(users, user="ann", stdin="correct horse\n"):
    return passwd(*CHEAP, "--file", users, "--user", user, stdin=stdin)


def stored_of(users, user="ann") -> str:
    return [line for line in users.read_text().splitlines() if line.startswith(user + ":")][0].split(":")[1]


def test_a_new_file_is_for_its_owner_alone(tmp_path):
    users = tmp_path / "users"
    shown = set_password(users)
    assert shown.returncode == 0 and shown.stdout == f"{users}: ann is added\n" and "argon2" not in shown.stdout
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    assert matches(stored_of(users), "correct horse")
    assert os.listdir(tmp_path) == ["users"]


def test_the_rest_of_the_file_stays(tmp_path):
    users = tmp_path / "users"
    users.write_text(OTHERS)
    users.chmod(0o640)
    if os.geteuid() == 0:
        shutil.chown(users, "nobody", "nogroup")
    was = users.stat()
    with users.open() as reader:
        assert set_password(users).stdout.endswith("ann is added\n")
        assert reader.read() == OTHERS  # whoever had it open goes on with the old one
    assert users.read_text().startswith(OTHERS + "ann:$argon2id$")
    assert set_password(users, user="anna", stdin="new").stdout.endswith("anna has a new password\n")
    lines = users.read_text().splitlines()
    assert lines[:3] == OTHERS.splitlines()[:3]
    assert lines[3].startswith("anna:$argon2id$") and lines[3].endswith("::::::tenant=lions")
    assert lines[4].startswith("ann:") and len(lines) == 5
    assert matches(stored_of(users, "anna"), "new")
    now = users.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)


def test_a_last_line_without_an_end(tmp_path):
    users = tmp_path / "users"
    users.write_text("bob:x")
    assert set_password(users).returncode == 0
    assert re.fullmatch(r"bob:x\nann:\$argon2id.*\n", users.read_text())


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text(OTHERS)
    link.symlink_to(real)
    assert set_password(link).returncode == 0
    assert link.is_symlink() and "ann:" in real.read_text()


def test_a_file_that_cannot_be_changed_is_left_alone(tmp_path):
    users = tmp_path / "users"
    users.write_text(OTHERS + "ann:one::::::label=a\nann:two::::::label=b\n")
    before = users.read_text()
    shown = set_password(users)
    assert shown.returncode == 1 and "2 lines of this user" in shown.stderr
    shown = passwd("--scheme", "plain", "--file", users, "--user", "bob", stdin="with:colon")
    assert shown.returncode == 1 and "colon" in shown.stderr
    assert users.read_text() == before and os.listdir(tmp_path) == ["users"]
    assert set_password(tmp_path / "nowhere" / "users").returncode == 1
    assert set_password(tmp_path).returncode == 1


def test_writers_do_not_lose_each_others_users(tmp_path):
    users = tmp_path / "users"
    names = [f"user{number}" for number in range(12)]
    threads = [threading.Thread(target=set_password, args=(users, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.split(":")[0] for line in users.read_text().splitlines()) == sorted(names)
