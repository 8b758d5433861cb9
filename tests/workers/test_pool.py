"""
Several processes, tested without starting any.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections import Counter
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, LogLevel, eventAsJSON, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotwist import EchoService, Settings, cores, serviceFor
from echotwist.listening.serving import Serving
from echotwist.telemetry.counters import Counters, fromLine, toLine
from echotwist.values import rulesOf, socketsOf
from echotwist.workers.pool import Pool
from echotwist.workers.spawning import Spawner
from echotwist.workers.wire import ABORT, ADOPT, CONFIG, COUNTERS, EVENTS, LEAVE, STDERR, TELL, Plan


class CountersTests(SynchronousTestCase):
    """
    Tests for how counters travel and add up.
    """

    def test_line(self) -> None:
        """
        All of them travel in a line.
        """
        one = Counters("TCP", connections=5, active=2)
        one.refused["rate\n"] = 3
        one.errors["send", "ENOBUFS"] += 1
        line = toLine([one, Counters("UDP")])
        self.assertEqual(line.count(b"\n"), 1)
        again = fromLine(line)
        self.assertEqual(toLine(again), line)
        self.assertEqual(again[0].errors["send", "ENOBUFS"], 1)
        again[0].errors["send", "EPERM"] += 1

    def test_sum(self) -> None:
        """
        Numbers add up, by kind where they have kinds.
        """
        total, one, two = Counters("TCP"), Counters("TCP"), Counters("TCP")
        one.connections, two.connections = 3, 4
        one.refused["rate"] = 1
        two.refused.update({"rate": 2, "loop": 1})
        for _ in range(2):
            total.becomeSumOf([one, two])
            self.assertEqual(total.connections, 7)
            self.assertEqual(total.refused, Counter({"rate": 3, "loop": 1}))
        self.assertEqual(total.transport, "TCP")
        total.becomeSumOf([total, one])
        self.assertEqual(total.connections, 10)


class ChoiceTests(SynchronousTestCase):
    """
    Tests for which service it is.
    """

    def test_one(self) -> None:
        """
        With one worker this very process serves.
        """
        for settings, kind in [(Settings(), Serving), (Settings(workers=2), Pool)]:
            service = serviceFor(settings)
            self.assertIs(type(service), EchoService)
            self.assertIs(type(service._choose(socketsOf(settings))), kind)

    def test_auto(self) -> None:
        """
        ``auto`` is one worker for each core that this process may use.
        """
        self.patch(cores, "quotas", lambda *_: iter(()))
        self.patch(os, "sched_getaffinity", lambda _: {1, 5, 7})
        self.assertEqual(Settings(workers=0).processes, 3)
        self.patch(os, "sched_getaffinity", lambda _: {1})
        self.assertEqual(EchoService(Settings(workers=0)).settings.workers, 1)

    def test_once(self) -> None:
        """
        The number is found once: later it may have changed.
        """
        self.patch(os, "sched_getaffinity", lambda _: {1, 5})
        self.patch(cores, "quotas", lambda *_: iter(()))
        service = serviceFor(Settings(workers=0))
        self.patch(os, "sched_getaffinity", lambda _: {1})
        self.assertEqual(service.settings.processes, 2)

    def test_quota(self) -> None:
        """
        A container's quota may be less than that; a part of a core counts as a whole
        one.
        """
        self.patch(os, "sched_getaffinity", lambda _: set(range(8)))
        for quotas, count in [([2.5], 3), ([0.1], 1), ([16.0], 8), ([4.0, 2.0], 2), ([], 8)]:
            self.patch(cores, "quotas", lambda *_, found=quotas: iter(found))
            self.assertEqual(Settings(workers=0).processes, count)

    def test_cannot(self) -> None:
        """
        On a system that cannot share ports, several workers are an error that says so.
        """
        self.patch(socket, "SO_REUSEPORT", None)
        del socket.SO_REUSEPORT
        said = str(self.assertRaises(ValueError, Settings, workers=2))
        self.assertIn("no SO_REUSEPORT", said)
        Settings()

    def test_sockets(self) -> None:
        """
        Each worker has a set of sockets; all share one port, and close together.
        """
        service = serviceFor(Settings(port=0, interfaces=["127.0.0.1"], workers=3))
        service.open()
        assert service._serving is not None
        listeners: list[Any] = list(service._serving.listeners)
        self.assertEqual(len(listeners), 6)
        self.assertEqual(len({listener.socket.getsockname()[1] for listener in listeners}), 1)
        self.successResultOf(service.stopService())
        self.assertEqual({listener.socket.fileno() for listener in listeners}, {-1})


class Processes(Clock):
    """
    A reactor that only seems to start processes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[Any, dict[int, Any]]] = []
        self.problem: OSError | None = None

    def spawnProcess(
        self, protocol: Any, *_: object, env: dict[str, str], childFDs: dict[int, Any]
    ) -> None:
        """
        Seem to start one.
        """
        if self.problem is not None:
            raise self.problem
        self.started.append((protocol, childFDs))
        self.environment = env
        protocol.makeConnection(Told())


class Told:
    """
    Stands for a process: keeps what it is told.
    """

    def __init__(self) -> None:
        self.words: list[bytes] = []
        self.signals: list[str] = []
        self.written: dict[int, bytes] = {}
        self.closed: list[int] = []

    def write(self, word: bytes) -> None:
        """
        Tell it something.
        """
        self.words += word.split()

    def writeToChild(self, childFD: int, data: bytes) -> None:
        """
        Write to one of its descriptors.
        """
        self.written[childFD] = self.written.get(childFD, b"") + data

    def closeChildFD(self, childFD: int) -> None:
        """
        Let it see the end of what was written.
        """
        self.closed.append(childFD)

    def signalProcess(self, signal: str) -> None:
        """
        Send it a signal.
        """
        self.signals.append(signal)


class MonitorTests(SynchronousTestCase):
    """
    Tests for :class:`Monitor`.
    """

    def setUp(self) -> None:
        """
        Start two workers that are none.
        """
        from echotwist.workers.monitor import Monitor

        self.reactor = Processes()
        self.files = [socket.socket(), socket.socket()]
        for file in self.files:
            self.addCleanup(file.close)
        settings = Settings(workers=2, udp=False)
        plan = Plan(
            sockets=socketsOf(settings),
            rules=rulesOf(settings),
            reactor=__name__,
            folder="/",
            sizes=[],
        )
        own = [[file] for file in self.files]
        self.monitor = Monitor(Spawner(plan, own, []), [Counters("TCP")], self.reactor)
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.monitor.startService()

    def worker(self, number: int) -> Any:
        """
        Return one of all the workers that were started.
        """
        return self.reactor.started[number][0]

    def say(self, number: int, connections: int, active: int = 0) -> None:
        """
        Have a worker tell its counters.
        """
        one = Counters("TCP", connections=connections, active=active)
        self.worker(number).childDataReceived(COUNTERS, toLine([one]))

    def end(self, number: int, signal: int | None = None) -> None:
        """
        Have a worker end.
        """
        reason = ProcessDone(0) if signal is None else ProcessTerminated(None, signal)
        self.worker(number).processEnded(Failure(reason))

    def total(self) -> tuple[int, int]:
        """
        Return the connections, and those that are open.
        """
        known = [counters[0] for counters in self.monitor.counters]
        return sum(one.connections for one in known), sum(one.active for one in known)

    def test_sockets(self) -> None:
        """
        Each worker gets its own sockets, and the next in its place gets them again.
        """
        self.end(0, 9)
        self.reactor.advance(1)
        plans = [pickle.loads(self.worker(n).transport.written[CONFIG]) for n in range(3)]
        given = [
            files[plan.own[plan.name][0]]
            for plan, (_, files) in zip(plans, self.reactor.started, strict=True)
        ]
        one, two = (file.fileno() for file in self.files)
        self.assertEqual(given, [one, two, one])

    def test_plan(self) -> None:
        """
        It is told what to do, then sees the end of that.
        """
        told = self.worker(1).transport
        self.assertEqual(pickle.loads(told.written[CONFIG]).sockets.transports, ("TCP",))
        self.assertEqual(told.closed, [CONFIG])

    def test_path(self) -> None:
        """
        A worker finds the modules that its parent finds.
        """
        found = self.reactor.environment["PYTHONPATH"].split(os.pathsep)
        self.assertEqual(found, [os.path.abspath(folder) for folder in sys.path])

    def test_serving(self) -> None:
        """
        All serve when each has said that it does.
        """
        self.say(0, 0)
        self.assertFalse(self.monitor.isServing)
        self.assertNoResult(self.monitor.allServe)
        asked = self.monitor.allServe.addCallback(lambda _: self.monitor.ask())
        self.say(1, 0)
        self.assertTrue(self.monitor.isServing)
        self.assertNoResult(asked)
        self.end(0, 9)
        self.assertFalse(self.monitor.isServing)

    def test_backOff(self) -> None:
        """
        A worker that dies at once is started again after longer and longer pauses, up
        to a minute.
        """
        for _ in range(36_000):
            self.reactor.advance(0.1)
            if "1" in self.monitor.protocols:
                self.end(-1 if self.worker(-1).name == "1" else 0, 11)
        self.assertLess(len(self.reactor.started), 75)
        self.assertGreater(len(self.reactor.started), 60)
        self.assertLess(len(self.events), 75)

    def test_soon(self) -> None:
        """
        The first time it is back within the second, however young it was.
        """
        self.end(0, 9)
        self.reactor.advance(0.1)
        self.assertEqual(len(self.reactor.started), 3)
        self.say(2, 0)
        self.reactor.advance(2)
        self.end(2, 9)
        self.reactor.advance(0)
        self.assertEqual(len(self.reactor.started), 4)

    def test_cannotStart(self) -> None:
        """
        If a worker cannot be started, one line says why and names the program.
        """
        self.reactor.problem = PermissionError(13, "Permission denied")
        self.end(0, 9)
        self.reactor.advance(0.1)
        self.assertEqual(self.events[0]["why"], "was ended by SIGKILL")
        self.assertEqual(len(self.events), 1)
        self.reactor.advance(60)
        said = self.events[-1]["why"]
        self.assertIn(f"cannot start: {sys.executable}: Permission denied (errno 13) (", said)
        self.reactor.problem = None
        self.reactor.advance(60)
        self.assertEqual(len(self.reactor.started), 3)

    def test_counters(self) -> None:
        """
        What a worker has counted stays when it is gone; its connections do not.
        """
        self.say(0, 5, active=2)
        self.say(1, 1, active=1)
        self.assertEqual(self.total(), (6, 3))
        self.end(0, 9)
        self.assertEqual(self.total(), (6, 1))
        self.reactor.advance(1)
        self.say(2, 10, active=1)
        self.assertEqual(self.total(), (16, 2))

    def test_ask(self) -> None:
        """
        The parent waits for the answers of all workers.
        """
        asked = self.monitor.ask()
        self.assertEqual(self.worker(0).transport.words, [TELL])
        self.say(0, 1)
        self.assertNoResult(asked)
        self.say(1, 1)
        self.successResultOf(asked)

    def test_noAnswer(self) -> None:
        """
        The parent does not wait long, does not ask a worker again that has not answered
        yet, and does not wait for dead ones.
        """
        self.say(0, 1)
        for _ in range(3):
            asked = self.monitor.ask()
            self.say(0, 1)
            self.reactor.advance(1.1)
            self.successResultOf(asked)
        self.assertEqual(self.worker(1).transport.words, [TELL])
        asked = self.monitor.ask()
        self.say(0, 1)
        self.end(1, 9)
        self.successResultOf(asked)
        self.assertEqual(self.flushLoggedErrors(), [])

    def seconds(self, count: int, *answering: int) -> None:
        """
        Let time go by.

        :param answering: the workers that answer when they are asked.
        """
        for _ in range(count):
            self.reactor.advance(1)
            for number in answering:
                words = self.worker(number).transport.words
                if words[-1:] == [TELL]:
                    words[-1] = b"answered"
                    self.say(number, 0)

    def signals(self, number: int) -> list[str]:
        """
        Return the signals that a worker was sent.
        """
        found: list[str] = self.worker(number).transport.signals
        return found

    def test_look(self) -> None:
        """
        Every 30 s the parent asks all workers; it ends one that serves and is silent
        for ten seconds.
        """
        self.say(0, 1)
        self.say(1, 1)
        self.seconds(29, 0, 1)
        self.assertEqual(self.worker(0).transport.words, [])
        self.seconds(100, 0, 1)
        self.assertEqual(self.worker(0).transport.words, [b"answered"] * 4)
        self.seconds(30, 1)
        self.assertEqual(self.signals(0), [])
        self.seconds(100, 1)
        self.assertEqual(self.signals(0), ["KILL"])
        self.assertEqual(self.signals(1), [])
        self.assertEqual([event["worker"] for event in self.events], ["1"])

    def test_lookSooner(self) -> None:
        """
        The parent may check at any time, also several times at once.
        """
        self.say(0, 1)
        self.say(1, 1)
        for _ in range(12):
            self.monitor.checkAlive()
            self.monitor.checkAlive()
            self.seconds(1, 1)
        self.assertEqual(self.signals(0), ["KILL"])
        self.assertEqual(self.signals(1), [])

    def test_answersAgain(self) -> None:
        """
        For a worker that answers late the count begins anew.
        """
        self.say(0, 1)
        self.say(1, 1)
        for _ in range(3):
            self.monitor.checkAlive()
            self.seconds(8, 1)
            self.seconds(1, 0, 1)
        self.assertEqual(self.signals(0), [])

    def test_allStopped(self) -> None:
        """
        Workers that were stopped together with their parent are not ended, however long
        it was.
        """
        self.say(0, 1)
        self.say(1, 1)
        self.seconds(30)
        for _ in range(8):
            self.reactor.advance(365 * 86_400)
        self.assertEqual(self.signals(0) + self.signals(1), [])
        self.seconds(100, 0, 1)
        self.assertEqual(self.signals(0) + self.signals(1), [])
        self.seconds(100, 1)
        self.assertEqual(self.signals(0), ["KILL"])

    def test_slowStart(self) -> None:
        """
        The parent waits longer for a worker that is still starting, but not for ever.
        """
        self.say(1, 1)
        self.seconds(140, 1)
        self.assertEqual(self.signals(0), [])
        self.seconds(30, 1)
        self.assertEqual(self.signals(0), ["KILL"])

    def test_noLook(self) -> None:
        """
        After the end there are no more checks.
        """
        self.monitor.checkAlive()
        stopped = self.monitor.stopService()
        self.end(0)
        self.end(1)
        self.successResultOf(stopped)
        self.seconds(2)
        self.monitor.checkAlive()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def failStarts(self, *names: str, times: int = 1) -> None:
        """
        Have workers end whenever they are started.
        """
        while times and self.monitor.running:
            running = [worker for worker in self.monitor.workers if worker.name in names]
            for worker in running[:times]:
                worker.childDataReceived(STDERR, b"Traceback:\n  why\nImportError: no\n")
                worker.processEnded(Failure(ProcessTerminated(1)))
                times -= 1
            if times:
                self.reactor.advance(0.1)

    def test_giveUp(self) -> None:
        """
        If none comes up, and each was tried five times, the parent ends them and says
        why.
        """
        self.failStarts("1", "2", times=9)
        self.assertNoResult(self.monitor.gaveUp)
        self.assertTrue(self.monitor.health.startswith("unhealthy: worker 1 ended"))
        self.failStarts("1", "2")
        why = self.successResultOf(self.monitor.gaveUp)
        self.assertEqual(why, "worker 2 ended with status 1: ImportError: no")
        self.assertEqual(len(self.events), 2)
        self.assertFalse(self.monitor.running)
        self.reactor.advance(1000)
        self.assertEqual(len(self.reactor.started), 10)

    def test_cannotFork(self) -> None:
        """
        The same holds if none can be started at all.
        """
        self.reactor.problem = BlockingIOError(11, "Resource temporarily unavailable")
        self.end(0, 9)
        self.end(1, 9)
        for _ in range(100):
            self.reactor.advance(0.1)
        why = self.successResultOf(self.monitor.gaveUp)
        self.assertIn("Resource temporarily unavailable (errno 11)", why)

    def test_keepsOn(self) -> None:
        """
        As long as one worker serves, the service goes on, with at most a line a minute;
        the others take the place of the one that fails.
        """
        self.say(1, 0)
        self.failStarts("1", times=1)
        self.assertEqual(self.monitor.health, "healthy")
        self.assertNoResult(self.monitor.allServe)
        self.failStarts("1", times=1)
        self.assertEqual(self.worker(1).transport.words, [ADOPT + b"1"])
        self.successResultOf(self.monitor.allServe)
        self.assertTrue(self.monitor.isServing)
        self.failStarts("1", times=70)
        why = "worker 1 ended with status 1: ImportError: no"
        self.assertEqual(self.monitor.health, f"healthy, but {why}")
        self.assertNoResult(self.monitor.gaveUp)
        self.assertLess(len(self.events), self.reactor.seconds() / 60 + 2)
        while "1" not in self.monitor.protocols:
            self.reactor.advance(1)
        self.say(-1, 0)
        told = self.worker(1).transport.words
        self.assertEqual([word for word in told if word != TELL], [ADOPT + b"1", LEAVE + b"1"])
        self.assertEqual(self.monitor.health, "healthy")

    def test_newcomer(self) -> None:
        """
        A worker that comes up later takes the place of others as well.
        """
        self.failStarts("1", times=2)
        self.assertNoResult(self.monitor.allServe)
        self.say(1, 0)
        self.assertEqual(self.worker(1).transport.words, [ADOPT + b"1"])
        self.successResultOf(self.monitor.allServe)
        self.end(1, 9)
        self.assertFalse(self.monitor.isServing)

    def test_environment(self) -> None:
        """
        A worker has the environment of its parent, except what systemd told the parent.
        """
        ours = {"LISTEN_FDS": "3", "NOTIFY_SOCKET": "/n", "WATCHDOG_PID": "1", "LISTEN_FOO": "x"}
        self.patch(os, "environ", ours)
        from echotwist.workers.spawning import environment

        self.assertEqual(set(environment()), {"LISTEN_FOO", "PYTHONPATH"})

    def test_stop(self) -> None:
        """
        It has stopped when all workers are gone; none is started any more.
        """
        self.end(0, 9)
        stopped = self.monitor.stopService()
        self.assertEqual(self.worker(1).transport.signals, ["TERM"])
        self.assertNoResult(stopped)
        said = len(self.events)
        self.end(1)
        self.successResultOf(stopped)
        self.assertEqual(len(self.events), said)
        self.reactor.advance(100)
        self.assertEqual(len(self.reactor.started), 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_late(self) -> None:
        """
        A worker that takes longer than the drain, or does not stop at once, is killed.
        """
        self.monitor.stopService()
        self.reactor.advance(10)
        self.assertEqual(self.worker(0).transport.signals, ["TERM"])
        self.monitor.abort()
        self.assertEqual(self.worker(0).transport.words, [ABORT])
        self.reactor.advance(1)
        self.assertEqual(self.worker(0).transport.signals, ["TERM", "KILL"])
        self.monitor.abort()
        self.end(0, 9)
        self.end(1, 9)

    def test_words(self) -> None:
        """
        Stray words are logged line by line, whatever they are.
        """
        self.say(1, 0)
        self.worker(1).childDataReceived(STDERR, b"one\nt")
        self.worker(1).childDataReceived(STDERR, b"wo\xff\n")
        self.assertEqual([event["text"] for event in self.events], ["one", "two�"])
        self.assertEqual({event["worker"] for event in self.events}, {"2"})

    def test_firstWords(self) -> None:
        """
        So are those that a worker says before it serves, once it does.
        """
        self.worker(1).childDataReceived(STDERR, b"one\ntwo\n")
        self.assertEqual(self.events, [])
        self.say(1, 0)
        self.assertEqual([event["text"] for event in self.events], ["one", "two"])

    def test_strangeWords(self) -> None:
        """
        Lines that do not belong on a pipe are logged as they are, and the lines after
        them are understood.
        """
        self.say(0, 0)
        for pipe in (EVENTS, COUNTERS):
            self.worker(0).childDataReceived(pipe, b"junk(\n")
        self.assertEqual([event["text"] for event in self.events], ["junk(", "junk("])
        self.say(0, connections=3)
        self.assertEqual(self.total(), (3, 0))

    def test_anySignal(self) -> None:
        """
        A worker is started again whatever signal ended it, with a name or not.
        """
        self.end(0, 40)
        self.reactor.advance(1)
        self.assertEqual(len(self.reactor.started), 3)
        self.assertIn("was ended by signal 40", [event.get("why") for event in self.events])

    def test_event(self) -> None:
        """
        An event comes through with its fields, and the name of the worker.
        """
        Logger("echotwist").warn("{a} and {b}", a=1, b="é\n")
        line = eventAsJSON(self.events.pop()).encode("ascii") + b"\n"
        self.worker(0).childDataReceived(EVENTS, line[:20])
        self.worker(0).childDataReceived(EVENTS, line[20:])
        [event] = self.events
        self.assertEqual((event["a"], event["b"]), (1, "é\n"))
        self.assertIs(event["log_level"], LogLevel.warn)
        self.assertEqual(event["log_system"], "worker 1#warn")
