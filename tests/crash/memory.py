# SPDX-License-Identifier: Apache-2.0
"""The n-th allocation is refused, for many n, while a client logs in over TLS and sends, the mail is
delivered, and the policy is loaded afresh.

What may come of it: the daemon goes on, and whoever was hit got a temporary answer or a closed
connection; or it dies saying why, and after a restart all that was promised arrives. Never a permanent
answer, a death without words, a promise broken, a message that arrives other than it was sent, or mail
that lies there until a restart.
"""

import contextlib
import os
import re
import select
import signal
import ssl
import threading
from collections import Counter
from dataclasses import dataclass, field

from crash import QUEUE, Oracle
from faults import Control, remove
from gatepost import DEADLINE, Daemon, Sink, Talk, make_dir
from policies import AUTHENTICATED_MAY_RELAY, STATIC_USERS, policy, smart_host

# OpenSSL may lose a refusal on its way up and wait for more bytes instead; the session's own limits end that
CLIENT_TIMEOUT_S = 5
PATIENCE_S = DEADLINE
# how a process may say that it dies of want of memory
LAST_WORDS = re.compile(r"MUST\(|std::bad_alloc|not enough memory|[Oo]ut of memory|cannot allocate")


@dataclass
class Figures:
    tried: int = 0
    outcomes: Counter = field(default_factory=Counter)
    deaths: Counter = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        return f"{self.tried} allocations refused: {outcomes}; {len(self.findings)} findings"


class Shortage:
    """One folder and sink; the daemon is started again whenever it died."""

    def __init__(self):
        self.sink, self.oracle, self.directory = Sink(), Oracle(), make_dir()
        self.control = Control(self.directory)
        self.figures = Figures()
        self.daemon = None
        self.looked_at = 0  # of the messages that arrived
        self.limit = f", client_timeout = '{CLIENT_TIMEOUT_S}s'"

    def start(self) -> None:
        self.control.allocations.disarm()
        if not self.daemon:
            text = policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY, smart_host(self.sink.port, queue=QUEUE), listener=self.limit)
            self.daemon = Daemon(text, directory=self.directory,
                                 env=self.control.env("fail-allocation")).start()
            threading.Thread(target=self._tell_of_its_end, args=(os.pidfd_open(self.daemon.process.pid),), daemon=True).start()

    def _tell_of_its_end(self, process: int) -> None:
        select.select([process], [], [])
        os.close(process)
        with self.sink.changed:
            self.sink.changed.notify_all()

    def _find(self, nth: int, what: str) -> None:
        self.figures.findings.append(f"allocation {nth}: {what}")

    def _session(self, nth: int) -> str:
        """The client's side; what it came to."""
        name, data = self.oracle.take()
        try:
            with Talk(self.daemon.port) as client:
                client.socket.settimeout(PATIENCE_S)
                reply = client.login("scott", "tiger")
                if reply.startswith("235"):
                    reply = client.mail(f"{name}@b.example", ["c@d.example"], data)
        except TimeoutError:
            self._find(nth, "neither answered nor cut off in time")
            return "hung"
        except (OSError, EOFError, ssl.SSLError):
            return "cut"
        except AssertionError as wrong:  # a command before the login
            reply = re.sub(r".*was answered '", "", str(wrong), flags=re.DOTALL)
        if reply.startswith("250"):
            self.oracle.promise(name)
        elif not reply.startswith("4"):
            self._find(nth, f"a permanent answer: {reply}")
        return reply[:3]

    def _delivered(self) -> bool:
        """Until what was promised has come, or the daemon is gone; false when neither happens."""
        with self.sink.changed:
            return self.sink.changed.wait_for(lambda: self._all_arrived() or self.daemon.process.poll() is not None, DEADLINE)

    def _all_arrived(self) -> bool:
        return self.oracle.promised <= {message.sender.split("@")[0] for message in self.sink.messages}

    def _changed_on_the_way(self, nth: int) -> None:
        """What was refused must not show in a message: one from nobody is a sender that got lost."""
        fresh = self.sink.messages[self.looked_at:]
        self.looked_at += len(fresh)
        strange = [message.sender for message in fresh if message.sender.split("@")[0] not in self.oracle.sent]
        if strange:
            self._find(nth, f"arrived from {strange}, whom nobody sent as")

    def _reload(self) -> None:
        with contextlib.suppress(AssertionError):
            self.daemon.reload()
        # the next session is served by the fresh policy, which is loaded for it
        with contextlib.suppress(OSError, EOFError, AssertionError), Talk(self.daemon.port) as client:
            client.ask("EHLO me")

    def _note_death(self, nth: int) -> None:
        code = self.daemon.process.wait(DEADLINE)
        self.daemon.err.thread.join(DEADLINE)
        words = [line for line in self.daemon.err.text().splitlines() if LAST_WORDS.search(line)]
        if code != -signal.SIGABRT or not words:
            self._find(nth, f"died with {code} and without words: {self.daemon.err.text()[-300:]}")
        else:
            self.figures.deaths[re.sub(r"^.*?(MUST|std|not enough)", r"\1", words[-1])[:90]] += 1
        self.daemon = None

    def _is_dead(self) -> bool:
        """It greets, or it is going: what clients see of a death comes before the process is gone."""
        with contextlib.suppress(OSError, EOFError), Talk(self.daemon.port):
            return False
        self.daemon.process.wait(DEADLINE)
        return True

    def refuse(self, nth: int) -> bool:
        """False when the run made fewer allocations than that."""
        self.start()
        self.control.allocations.arm(nth)
        outcome = self._session(nth)
        if not self._delivered():
            self._find(nth, f"undelivered while the daemon lives: {self.daemon.err.text()[-300:]}")
            self.daemon.kill()
            self.daemon = None
            outcome = "stuck"
        elif self.daemon.process.poll() is None:
            self._reload()
        self._changed_on_the_way(nth)
        self.control.allocations.disarm()
        fired = self.control.allocations.fired > 0
        if self.daemon and self._is_dead():
            self._note_death(nth)
            outcome = "died"
        if fired:
            self.figures.tried += 1
            self.figures.outcomes[outcome if outcome in ("died", "stuck") else "went on: " + outcome] += 1
        return fired

    def refuse_somewhere(self, nth: int) -> bool:
        """A daemon that has run for a while has made many of its allocations already: a fresh one is tried as well."""
        if self.refuse(nth):
            return True
        self.stop(nth)
        return self.refuse(nth)

    def stop(self, nth: int) -> None:
        if self.daemon and self._is_dead():  # just after it was looked at
            self._note_death(nth)
        if self.daemon:
            self.daemon.stop()
            self.daemon = None

    def settle(self) -> None:
        self.stop(0)
        self.limit = ""  # nothing is refused any more: whoever is late is only slow
        self.start()
        self.oracle.check(self.sink)
        assert self._session(0) == "250"
        self.stop(0)

    def close(self) -> None:
        if self.daemon:
            self.daemon.kill()
        self.sink.close()
        remove(self.directory)


def run(first: int, stride: int, most: int, say=lambda text: None) -> Figures:
    """Refuses the first-th allocation, and every stride-th after it, until a run of a fresh daemon has none left."""
    shortage = Shortage()
    try:
        for nth in range(first, first + stride * most, stride):
            if not shortage.refuse_somewhere(nth):
                break
            if shortage.figures.tried % 100 == 0:
                say(str(shortage.figures))
        shortage.settle()
    finally:
        shortage.close()
    return shortage.figures
