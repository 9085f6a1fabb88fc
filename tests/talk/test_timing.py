# SPDX-License-Identifier: Apache-2.0
"""A stopwatch tells a guesser nothing: whoever is refused, it takes as long.

Each test makes rounds of attempts, one of each kind in a random order, and compares what two kinds took in the same round,
so that a machine that is slow for a second is slow for both. For each two kinds it wants the median of that ratio, and
where this surely is (the ranks between which it lies in 99 of 100 cases). No kind is to take 5 % longer than another: when
that is sure, either way, the test is over; until it is, more rounds are made, up to eight times as many, and then the
medians themselves have the word. All rounds count: a lucky eighth of them does not. 150 rounds at a time, to be quick;
GATEPOST_TIMING_TRIALS=500 is what the promise is about.

Tried by hand: without the dummy verification (gate/verify.c, do_all) all tests of hashes fail; with one dummy for all,
of whatever form was verified last, test_records_of_two_forms does; and with a look among the right passwords for enabled
users alone (gate/ask_password.c, seen_lately) those of plain passwords, of the first guess and others did.
"""

import base64
import gc
import itertools
import math
import os
import random
import re
import sqlite3
import statistics
import subprocess
import time

import pytest
from callout import Callout
from gatepost import BUILD, DEADLINE, Daemon, Talk, give, make_dir
from policies import policy
from sasl import b64, unb64
from slapd import ACCOUNT, ACCOUNT_PASSWORD, SUFFIX, Slapd, person

TRIALS = int(os.environ.get("GATEPOST_TIMING_TRIALS", "150"))
RUNS = 16  # at most: what is plain earlier needs fewer
# sanitizers make some things slower than others
IS_INSTRUMENTED = re.search(rb"__[at]san_init", (BUILD / "src" / "gatepostd").read_bytes())
CLOSE_ENOUGH = math.log(1.25 if IS_INSTRUMENTED else 1.05)
FAILURES_MOST = 900  # of one connection; the listener's limit is above it

SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
LISTENER = ", auth_failure_delay = '0s', auth_failure_limit = 1000, junk_command_limit = 10000"
# both of "tiger"; about a millisecond each
ARGON2ID = "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$te/LjimOzlXB01fCP2dykTBFtsKVeFEphkJ4wc2C7SA"
SHA512 = ("$6$rounds=1000$saltsalt$7hDy.dMiDulXrQRhqJAfnrX/Kto5IHlwaaMWV0.t6L4k5cyiSgHVmxIYAgoRUb2y13YMgLCAorxzCoZnLm"
          "Wdp1")
BCRYPT = "$2b$06$saltsaltsaltsaltsaltse.lAjwcMekOoUr899AX17msOSsXnW5nm"
STRANGERS = itertools.count()
KNOWN = 2 * RUNS * (TRIALS + 3)  # in the database, each to be asked for once


def stranger() -> str:
    return f"stranger-{next(STRANGERS)}"


class Stopwatch:
    """One client that goes on being refused."""

    def __init__(self, port: int):
        self.port, self.client, self.failures = port, None, 0

    def connect(self) -> None:
        if self.client:
            self.client.close()
        self.client = Talk(self.port)
        self.failures = 0
        self.client.expect("EHLO stopwatch.example", "250")
        self.client.starttls()
        self.client.expect("EHLO stopwatch.example", "250")

    def ask(self, line: str) -> tuple[str, int]:
        if not self.client or self.failures >= FAILURES_MOST:
            self.connect()
        self.failures += 1
        return self.go_on(line)

    def go_on(self, line: str) -> tuple[str, int]:
        data = line.encode() + b"\r\n"
        began = time.perf_counter_ns()
        self.client.socket.sendall(data)
        reply = self.client.read_reply()
        return reply, time.perf_counter_ns() - began

    def plain(self, user: str, password: str) -> int:
        reply, took = self.ask("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())
        assert reply == "535 5.7.8 authentication failed", f"{user}: {reply}"
        return took

    def scram(self, user: str) -> tuple[str, int]:
        reply, took = self.ask("AUTH SCRAM-SHA-256 " + b64(f"n,,n={user},r=fyko+d2lbbFgONRv9qkxdawL"))
        assert reply.startswith("334 "), reply
        return reply[4:], took

    def challenge(self, user: str) -> int:
        _, took = self.scram(user)
        self.client.expect("*", "501")
        return took

    def wrong_proof(self, user: str) -> int:
        """The last step alone."""
        nonce = unb64(self.scram(user)[0]).decode().split(",")[0]
        reply, took = self.go_on(b64(f"c=biws,{nonce},p={b64(bytes(32))}"))
        assert reply == "535 5.7.8 authentication failed", f"{user}: {reply}"
        return took


def trials(kinds: dict, count: int = TRIALS) -> list[dict[str, float]]:
    """Each kind is a function that makes one attempt and says what it took. Of each round the logarithms, by kind."""
    for attempt in kinds.values():  # what is learnt is learnt, what is cached is cached
        attempt()
        attempt()
    rounds = []
    gc.disable()
    try:
        for _ in range(count):
            rounds.append({name: math.log(kinds[name]()) for name in random.sample(list(kinds), len(kinds))})
    finally:
        gc.enable()
    return rounds


class Comparison:
    """Of each two kinds, by how much one takes longer than the other: the median, and the ranks around it."""

    def __init__(self, rounds: list[dict[str, float]]):
        reach = round(2.58 * math.sqrt(len(rounds)) / 2)
        low, high = max((len(rounds) - 1) // 2 - reach, 0), min(len(rounds) // 2 + reach, len(rounds) - 1)
        self.pairs = {}
        for pair in itertools.combinations(rounds[0], 2):
            ranked = sorted(taken[pair[0]] - taken[pair[1]] for taken in rounds)
            self.pairs[pair] = (ranked[low], statistics.median(ranked), ranked[high])

    @property
    def spread(self) -> float:
        return math.exp(max(abs(median) for _, median, _ in self.pairs.values()))

    @property
    def is_surely_close(self) -> bool:
        return all(-CLOSE_ENOUGH <= least and most <= CLOSE_ENOUGH for least, _, most in self.pairs.values())

    @property
    def is_surely_apart(self) -> bool:
        return any(least > CLOSE_ENOUGH or most < -CLOSE_ENOUGH for least, _, most in self.pairs.values())

    def __str__(self) -> str:
        worst = sorted(self.pairs.items(), key=lambda pair: -abs(pair[1][1]))[:5]
        return "".join(f"\n{' / '.join(pair)}: {math.exp(median):.3f}, surely {math.exp(least):.3f} to {math.exp(most):.3f}"
                       for pair, (least, median, most) in worst)


def compare(more_rounds) -> tuple[bool, Comparison]:
    """Whether all take as long; `more_rounds` makes some."""
    rounds = []
    for _ in range(RUNS):
        rounds += more_rounds()
        found = Comparison(rounds)
        if found.is_surely_close or found.is_surely_apart:
            return found.is_surely_close, found
    return found.spread <= math.exp(CLOSE_ENOUGH), found


def expect_equal(daemon: Daemon, kinds: dict, prepare=lambda: None) -> None:
    def more_rounds():
        prepare()
        return trials(kinds)

    is_equal, found = compare(more_rounds)
    if is_equal:
        return
    daemon.stop()  # its log of each attempt would be in the way of the numbers
    pytest.fail(f"the medians of what two took in the same round: {found}")


@pytest.mark.parametrize("tell", [0, 0.02, 0.08, 0.15])
@pytest.mark.parametrize("noise", [0.03, 0.15])
def test_the_stopwatch_itself(tell, noise):
    """On times that are made up: quiet and disturbed ones, on a machine that is now and then twice as slow for a while."""
    dice = random.Random(7)

    def more_rounds():
        rounds = []
        for number in range(150):
            load = math.log(2) if number % 40 < 15 else 0
            rounds.append({name: load + dice.expovariate(1 / noise) + dice.gauss(0, noise / 4) + (tell if name == "e" else 0)
                           for name in "abcde"})
        return rounds

    assert [compare(more_rounds)[0] for _ in range(5)] == [tell < 0.05] * 5


def daemon_with(auth: str, directory=None) -> Daemon:
    text = auth + "\n[guessing]\nenabled = false\n"  # a name that is counted for the first time takes longer, whosever it is
    return Daemon(policy(SETUP, listener=LISTENER), directory=directory, files={"auth.toml": text})


def refusals(watch: Stopwatch) -> dict:
    return {
        "unknown, each another": lambda: watch.plain(stranger(), "tiger"),
        "unknown": lambda: watch.plain("nobody", "tiger"),
        "wrong password": lambda: watch.plain("ann", "lion"),
        "disabled": lambda: watch.plain("gone", "tiger"),
        "disabled, wrong password": lambda: watch.plain("gone", "lion"),
        "expired": lambda: watch.plain("past", "tiger"),
        "from elsewhere": lambda: watch.plain("elsewhere", "tiger"),
    }


# ---- users in the file ----


def table(stored: str) -> str:
    return f"""
[user.ann]
password = '{stored}'
[user.gone]
password = '{stored}'
disabled = true
[user.past]
password = '{stored}'
not_after = 2001-01-01T00:00:00Z
[user.elsewhere]
password = '{stored}'
networks = ['192.0.2.0/24']
"""


@pytest.mark.parametrize("stored", [ARGON2ID, SHA512, "{PLAIN}tiger"], ids=["argon2id", "sha512-crypt", "plain"])
def test_users_of_the_file(stored):
    with daemon_with(table(stored)) as daemon:
        expect_equal(daemon, refusals(Stopwatch(daemon.port)))


def test_records_with_several_secrets():
    secrets = "".join(f"[[user.apps.secrets]]\nlabel = '{number}'\npassword = '{ARGON2ID}'\n" for number in range(3))
    with daemon_with(table(ARGON2ID) + secrets) as daemon:
        watch = Stopwatch(daemon.port)
        watch.plain("apps", "lion")
        expect_equal(daemon, {**refusals(watch), "three passwords": lambda: watch.plain("apps", "lion")})


def test_records_of_two_forms():
    """A name that is unknown takes as long as users of one form, and goes on so, whoever was asked for before it."""
    with daemon_with(table(ARGON2ID) + f"[user.bob]\npassword = '{BCRYPT}'\n") as daemon:
        watch = Stopwatch(daemon.port)

        def after(user: str, name: str) -> int:
            watch.plain(user, "lion")
            return watch.plain(name, "lion")

        for name in ("nobody", "noone", "none"):
            expect_equal(daemon, {"after argon2id": lambda name=name: after("ann", name),
                                  "after bcrypt": lambda name=name: after("bob", name)})
        forms = trials({"ann": lambda: watch.plain("ann", "lion"), "bob": lambda: watch.plain("bob", "lion")})
        assert Comparison(forms).spread > math.exp(CLOSE_ENOUGH)


def scram_keys(number: int, salt: str = "c2FsdHNhbHRzYWx0c2FsdA==") -> str:
    return f"{{SCRAM-SHA-256}}4096,{salt},{b64(bytes([number]) * 32)},{b64(bytes([100 + number]) * 32)}"


def scram_users(stored: str) -> str:
    """Also one whose password is being changed, and one with more secrets than one challenge does for."""
    rotating = f"[user.rotating]\npassword = ['{scram_keys(1)}', '{scram_keys(2)}']\n"
    several = ", ".join(f"'{scram_keys(number, b64(bytes([number % 5]) * 16))}'" for number in range(8))
    return "mechanisms = ['SCRAM-SHA-256']\n" + table(stored) + rotating + f"[user.several]\npassword = [{several}]\n"


SCRAM_NAMES = {"known": lambda: "ann", "unknown": lambda: "nobody", "unknown, each another": stranger,
               "disabled": lambda: "gone", "expired": lambda: "past"}
SCRAM_NAMES_OF_KEYS = SCRAM_NAMES | {"two secrets": lambda: "rotating", "eight secrets": lambda: "several"}


@pytest.mark.parametrize("step", [Stopwatch.challenge, Stopwatch.wrong_proof])
@pytest.mark.parametrize("stored, names", [(scram_keys(1), SCRAM_NAMES_OF_KEYS), ("{PLAIN}tiger", SCRAM_NAMES)],
                         ids=["keys", "plain"])
def test_scram(stored, names, step):
    with daemon_with(scram_users(stored)) as daemon:
        watch = Stopwatch(daemon.port)
        expect_equal(daemon, {kind: lambda name=name: step(watch, name()) for kind, name in names.items()})


def test_who_is_locked():
    """Held by an operator: the right password takes the way of a wrong one, work and all."""
    users = table(ARGON2ID) + f"[user.held]\npassword = '{ARGON2ID}'\n"
    with Daemon(policy(SETUP, listener=LISTENER), files={"auth.toml": users}) as daemon:
        subprocess.run([BUILD / "src" / "ctl" / "gatectl", "auth", "block", "held", "--for", "1h", "--endpoint", daemon.http],
                       check=True, timeout=DEADLINE)
        watch = Stopwatch(daemon.port)
        expect_equal(daemon, {
            "wrong password": lambda: watch.plain("ann", "lion"),
            "unknown": lambda: watch.plain("nobody", "tiger"),
            "locked": lambda: watch.plain("held", "tiger"),
            "locked, wrong password": lambda: watch.plain("held", "lion"),
        })


# ---- users in a store that is asked: cache cold, warm, and what it says of who is not there ----

SQLITE = "[store.people]\ndriver = 'sqlite'\npath = 'users.db'\n"
COLD = "[cache]\npositive_ttl = 0\nnegative_ttl = 0\nstale_for = 0\nrecheck = 0\n"
WARM = "[cache]\nrecheck = '1h'\nnegative_ttl = '1h'\n"
ALWAYS_AFRESH = "[cache]\nrecheck = 0\n"


@pytest.fixture(scope="module")
def people():
    """A folder with a database."""
    folder = make_dir()
    path = folder / "users.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE users (name text primary key, password text, disabled int, not_after text, "
                         "networks text)")
        rows = [("ann", 0, None, None), ("gone", 1, None, None), ("past", 0, "2001-01-01", None),
                ("elsewhere", 0, None, "192.0.2.0/24"), *((f"known-{n}", 0, None, None) for n in range(KNOWN))]
        database.executemany(f"INSERT INTO users VALUES (?, '{ARGON2ID}', ?, ?, ?)", rows)
    give(path)
    return folder


def test_database_cold(people):
    with daemon_with(SQLITE + COLD, people) as daemon:
        expect_equal(daemon, refusals(Stopwatch(daemon.port)))


def test_database_warm(people):
    with daemon_with(SQLITE + WARM, people) as daemon:
        kinds = refusals(Stopwatch(daemon.port))
        del kinds["unknown, each another"]  # nobody has seen those: the first guess is the next test's
        expect_equal(daemon, kinds)


def test_the_first_guess(people):
    """A name that was never asked for, one whose record is not in the cache, and one whose record is."""
    known = iter(range(KNOWN))
    warm = []
    with daemon_with(SQLITE + ALWAYS_AFRESH, people) as daemon:
        watch = Stopwatch(daemon.port)

        def prepare() -> None:
            warm.extend(f"known-{next(known)}" for _ in range(TRIALS + 2))
            for name in warm:
                watch.plain(name, "lion")

        expect_equal(daemon, {
            "unknown": lambda: watch.plain(stranger(), "tiger"),
            "known, not in the cache": lambda: watch.plain(f"known-{next(known)}", "lion"),
            "known, in the cache": lambda: watch.plain(warm.pop(), "lion"),
        }, prepare)


def test_web_service_that_says_not_found():
    users = {"ann": {"password": ARGON2ID}, "gone": {"password": ARGON2ID, "disabled": True},
             "past": {"password": ARGON2ID, "not_after": "2001-01-01T00:00:00Z"},
             "elsewhere": {"password": ARGON2ID, "networks": ["192.0.2.0/24"]}}
    with Callout(users) as service:
        store = f"[store.people]\ndriver = 'http-record'\nurl = '{service.address}/users/{{user}}'\ntimeout = '60s'\n"
        with daemon_with(store + COLD) as daemon:
            expect_equal(daemon, refusals(Stopwatch(daemon.port)))


@pytest.mark.parametrize("way", ["search", "name"])
def test_a_directory_that_judges(way):
    """Who is unknown costs the directory a login as well."""
    people = person("ann", "userPassword: tiger") + person("bob", "userPassword: leopard")
    with Slapd(people + person("filler")) as slapd:
        store = f"[store.people]\ndriver = 'ldap-bind'\nuri = '{slapd.uri}'\ntimeout = '60s'\n"
        if way == "search":
            store += f"bind_dn = '{ACCOUNT}'\nbind_password = '{ACCOUNT_PASSWORD}'\nbase = 'ou=people,{SUFFIX}'\n"
        else:
            store += f"dn = 'uid={{user}},ou=people,{SUFFIX}'\n"
        with daemon_with(store) as daemon:
            watch = Stopwatch(daemon.port)
            expect_equal(daemon, {
                "wrong password": lambda: watch.plain("ann", "lion"),
                "another's": lambda: watch.plain("bob", "lion"),
                "unknown": lambda: watch.plain("nobody", "tiger"),
                "unknown, each another": lambda: watch.plain(stranger(), "tiger"),
            })
