"""
Which silences are tried, and what is concluded: days, in no time.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from echotwist.probe.idle.course import PATIENCE, Course, Ending, NoAnswer, Outcome
from echotwist.probe.idle.search import Search
from echotwist.probe.schedule import SECOND
from tests.support.probing import bounded

#: A day, in nanoseconds.
DAY = 86400 * SECOND

SILENCE = Ending("silence", "no answer")
RESET = Ending("reset", "RST")


class Network:
    """
    What is between, with a clock turned by hand.

    :param keeps: nanoseconds for which a silent flow is kept; nothing for ever.
    :param ending: how one ends; with a reset it hears of that at once.
    :param slow: seconds until a question that is not answered is given up.
    :ivar isAnswering: the service is there.
    :ivar flows: how many there were.
    """

    def __init__(self, keeps: int | None, ending: Ending = SILENCE, slow: float = 5.0) -> None:
        self.clock = Clock()
        self.keeps, self.ending, self.slow = keeps, ending, slow
        self.isAnswering = True
        self.flows = self.most = self.open = 0
        self.stumble: Callable[[int], bool] = lambda _: False

    async def control(self) -> None:
        """
        Answer a new flow.
        """
        if not self.isAnswering:
            await deferLater(self.clock, self.slow, lambda: None)
            raise NoAnswer("no answer")

    async def attempt(self, silence: int) -> Outcome:
        """
        Have a flow be silent.
        """
        self.flows += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            return await self._attempt(silence)
        finally:
            self.open -= 1

    async def _attempt(self, silence: int) -> Outcome:
        isOver = self.keeps is not None and silence >= self.keeps
        if isOver and self.ending is RESET:
            assert self.keeps is not None
            await deferLater(self.clock, self.keeps / SECOND, lambda: None)
            return Outcome(self.keeps + SECOND // 1000, RESET)
        await deferLater(self.clock, silence / SECOND, lambda: None)
        if isOver or not self.isAnswering or self.stumble(silence):
            await deferLater(self.clock, self.slow, lambda: None)
            return Outcome(silence, self.ending)
        return Outcome(silence)

    def course(self, search: Search) -> Course:
        """
        Make a search of it.
        """
        return Course(self.clock, search, self.attempt, self.control, lambda _: None)

    def runOut(self, done: Deferred[None], most: float = 40 * 86400.0) -> float:
        """
        Turn the clock until something is done.

        :return: the seconds that took.
        """
        while not done.called and self.clock.getDelayedCalls():
            assert self.clock.seconds() < most
            self.clock.advance(self.clock.getDelayedCalls()[0].getTime() - self.clock.seconds())
        assert done.called
        return self.clock.seconds()


def found(search: Search) -> tuple[int, int | None]:
    """
    Return the longest silence that survived, and the shortest that did not.
    """
    return search.survived, search.ended.silence if search.ended else None


times = st.integers(SECOND // 100, DAY)


@bounded
@given(
    keeps=st.none() | times,
    longest=st.integers(10 * SECOND, DAY),
    precision=st.integers(SECOND // 10, 600 * SECOND),
    flows=st.integers(1, 100),
    ending=st.sampled_from([SILENCE, RESET]),
)
def test_finds(keeps: int | None, longest: int, precision: int, flows: int, ending: Ending) -> None:
    """
    Whatever a network keeps flows for, it is found to the precision that was asked for; of
    one that keeps them for longer the longest silence is all that is told.
    """
    network = Network(keeps, ending)
    search = Search(SECOND, longest, precision, flows)
    network.runOut(network.course(search).start())
    survived, ended = found(search)
    assert search.isDone
    if keeps is None or keeps > longest:
        assert (survived, ended) == (longest, None)
    else:
        assert ended is not None
        assert survived < keeps <= ended <= survived + precision
    assert network.most <= max(flows + 1, 18)


def test_day() -> None:
    """
    A day of silence is one day's work; where one is too long, to find out which to a second
    takes less than a week.
    """
    network = Network(None)
    search = Search(SECOND, DAY, SECOND, 15)
    assert network.runOut(network.course(search).start()) == 86400
    assert network.flows == 18
    network = Network(80_000 * SECOND + 1)
    search = Search(SECOND, DAY, SECOND, 15)
    assert network.runOut(network.course(search).start()) < 7 * 86400
    survived, ended = found(search)
    assert ended is not None
    assert survived <= 80_000 * SECOND < ended <= survived + SECOND


@bounded
@given(keeps=times, wrong=st.integers(1, 5), ending=st.sampled_from([SILENCE, RESET]))
def test_stumbles(keeps: int, wrong: int, ending: Ending) -> None:
    """
    A round in which flows end for another reason does not lead astray.
    """
    network = Network(keeps, ending)
    search = Search(SECOND, DAY, 10 * SECOND, 15)
    network.stumble = lambda silence: search.round == wrong
    network.runOut(network.course(search).start())
    survived, ended = found(search)
    assert ended is not None
    assert survived < keeps <= ended <= survived + 10 * SECOND


@bounded
@given(keeps=times, stop=st.integers(0, 60), flows=st.integers(1, 20))
def test_resumes(keeps: int, stop: int, flows: int) -> None:
    """
    A search that was stopped at any time goes on from its trials.
    """
    network = Network(keeps)
    first = Search(SECOND, DAY, SECOND, flows)
    course = network.course(first)
    done = course.start()
    for _ in range(stop):
        if network.clock.getDelayedCalls() and not done.called:
            call = network.clock.getDelayedCalls()[0]
            network.clock.advance(call.getTime() - network.clock.seconds())
    course.stop()
    assert done.called
    assert not network.clock.getDelayedCalls()
    assert network.open == 0
    second = Search(SECOND, DAY, SECOND, flows, first.trials)
    network.runOut(network.course(second).start())
    survived, ended = found(second)
    assert ended is not None
    assert survived < keeps <= ended <= survived + SECOND
    assert second.trials[: len(first.trials)] == first.trials


def test_silentService() -> None:
    """
    A service that never answers ends the search at once; one that goes away is waited for,
    but not for ever, and no silence is blamed for it.
    """
    network = Network(None)
    network.isAnswering = False
    course = network.course(Search(SECOND, DAY, SECOND, 15))
    assert network.runOut(course.start()) == network.slow
    assert course.fault == "no answer"

    network = Network(None)
    search = Search(SECOND, 100 * SECOND, SECOND, 15)
    course = network.course(search)
    done = course.start()
    network.clock.advance(3)
    network.isAnswering = False
    network.clock.pump([1.0] * 120)
    network.isAnswering = True
    assert network.runOut(done) < PATIENCE
    assert found(search) == (100 * SECOND, None)

    network = Network(None)
    course = network.course(Search(SECOND, DAY, SECOND, 15))
    done = course.start()
    network.clock.advance(3)
    network.isAnswering = False
    network.runOut(done)
    assert course.fault == "no answer"


def test_refusedFlows() -> None:
    """
    Flows that cannot be opened, while others can, do not have it turn in circles.
    """

    async def refuse(silence: int) -> Outcome:
        raise NoAnswer("too many")

    network = Network(None)
    course = Course(
        network.clock, Search(SECOND, DAY, SECOND, 15), refuse, network.control, lambda _: None
    )
    assert network.runOut(course.start()) < 2 * PATIENCE
    assert course.fault == "too many"


def test_reset() -> None:
    """
    An end that is heard of at once has no longer silences waited for.
    """
    network = Network(300 * SECOND, RESET)
    search = Search(SECOND, 7500 * SECOND, SECOND, 15)
    assert network.runOut(network.course(search).start()) < 4 * 301
    survived, ended = found(search)
    assert ended is not None
    assert survived < 300 * SECOND <= ended <= survived + SECOND
