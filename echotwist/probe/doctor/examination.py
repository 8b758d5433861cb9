"""
``echoprobe doctor``: run all checks of some targets, and report their findings.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import Any

from twisted.internet.defer import CancelledError, TimeoutError, ensureDeferred

from echotwist.commandline.versions import program
from echotwist.probe.dialing import opened
from echotwist.probe.doctor.datagrams import DATAGRAM_CHECKS
from echotwist.probe.doctor.findings import (
    FIRST,
    NOT_APPLICABLE,
    OK,
    WRONG,
    Check,
    Finding,
    Limits,
    NotApplicable,
    Wrong,
    chosen,
    statusOf,
    valuesOf,
)
from echotwist.probe.doctor.service import Case, Service
from echotwist.probe.doctor.settings import DoctorSettings
from echotwist.probe.doctor.streams import STREAM_CHECKS
from echotwist.probe.kinds import COURTEOUS
from echotwist.probe.places import ProbeError, checkUnix, findAll
from echotwist.probe.stoppable import Stoppable
from echotwist.probe.target import Target
from echotwist.reactors import IReactor

#: The version of the report of ``--json``; see :data:`echotwist.probe.result.VERSION`.
VERSION = 1

_STOPPED = "the examination was stopped"


class Examination(Stoppable):
    """
    All checks of some targets, one after the other.

    :param reactor: waits.
    :param targets: the services to examine.
    :param writer: writes the findings; see :mod:`echotwist.probe.doctor.output`.
    :param limits: the limits of checks; by default those of the settings.
    :raise ProbeError: the examination cannot begin.
    """

    def __init__(
        self,
        reactor: IReactor,
        settings: DoctorSettings,
        targets: Sequence[Target],
        writer: Any,
        limits: Limits | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._writer = writer
        self._limits = limits or settings.limits
        self._cases = [self._case(target) for target in targets]
        self._results: list[dict[str, Any]] = []

    def _case(self, target: Target) -> Case:
        if target.kind == "raw":
            raise ProbeError(f"{target}: doctor examines UDP, TCP, TLS and UNIX sockets only")
        settings = self._settings
        checkUnix(target, settings.way)
        places = tuple(findAll(target, settings.way))
        opened(target, places[0], settings.way).close()  # Report errors at the start.
        return Case(
            self._reactor, target, places, settings.way, self._limits, self._creator(target)
        )

    def _creator(self, target: Target) -> Any:
        if target.kind != "tls":
            return None
        try:
            from echotwist.probe.secure import creatorFor
        except ImportError:
            hint = "pip install 'echotwist[tls]'"
            raise ProbeError(f"{target}: TLS needs pyOpenSSL: {hint}") from None
        return creatorFor(target.host, self._settings.ca, self._settings.insecure)

    async def _run(self) -> int:
        until = monotonic() + self._limits.whole
        for case in self._cases:
            checks: list[dict[str, Any]] = []
            self._results.append(
                {
                    "target": str(case.target),
                    "kind": case.target.kind,
                    "address": str(case.places[0]),
                    "checks": checks,
                }
            )
            self._writer.begin(self._results[-1])
            async for finding in self._examine(case, until):
                checks.append(valuesOf(finding))
                self._writer.tell(checks[-1])
        report = self.report()
        self._writer.end(report)
        return int(report["status"])

    async def _examine(self, case: Case, until: float) -> AsyncIterator[Finding]:
        silence = doubt = ""
        settings = self._settings
        for check in chosen(_checksOf(case), settings.only, settings.skip):
            if why := silence or await self._hindrance(case, check, until, doubt):
                finding = Finding(check, NOT_APPLICABLE, why)
            else:
                finding = await self._find(case, check, until)
            if check.name == FIRST and finding.state != OK:
                silence = "the service does not answer"
            elif finding.state == WRONG:
                doubt = f"the service has not answered since the check {check.name}"
            yield finding

    async def _hindrance(self, case: Case, check: Check, until: float, doubt: str) -> str:
        """
        Return why a check cannot run; empty if it can.  After a wrong finding, ask whether the
        service still answers.
        """
        why = self._obstacle(case, check, until)
        if why or not doubt:
            return why
        isThere = (await self._find(case, _checksOf(case)[0], until)).state == OK
        return self._obstacle(case, check, until) or ("" if isThere else doubt)

    def _obstacle(self, case: Case, check: Check, until: float) -> str:
        """
        Return why a check cannot run; empty if it can.
        """
        if self.isStopped:
            return _STOPPED
        if check.kinds and case.target.kind not in check.kinds:
            return f"only for {' and '.join(check.kinds)}"
        if check.isLarge and not case.places[0].isNear and not self._settings.flood:
            return (
                f"more than {COURTEOUS:,} packets in a second to a stranger; --flood says "
                "that its owner knows"
            )
        return "" if monotonic() < until else "no time is left; see --duration"

    async def _find(self, case: Case, check: Check, until: float) -> Finding:
        service, began = Service(case), monotonic()
        limit = min(self._limits.check, until - began)
        state, advice = NOT_APPLICABLE, None
        try:
            step = ensureDeferred(_await(check, service))
            reason = await self._step(step.addTimeout(limit, self._reactor))
            state = OK
        except Wrong as error:
            state, reason = WRONG, str(error)
            advice = check.advice if check.name == FIRST else error.advice or check.advice
        except (NotApplicable, ProbeError) as error:
            reason = str(error)
        except TimeoutError:
            reason = f"not done in {limit:.3g} s; see --limit"
        except CancelledError:
            reason = _STOPPED
        finally:
            service.close()
        return Finding(check, state, reason, monotonic() - began, advice)

    def report(self) -> dict[str, Any]:
        """
        Return the report.
        """
        return {
            "schema": "echoprobe-doctor",
            "version": VERSION,
            "program": program(),
            "results": self._results,
            "status": statusOf(self._results),
        }


def _checksOf(case: Case) -> list[Check]:
    return DATAGRAM_CHECKS if case.target.isDatagram else STREAM_CHECKS


async def _await(check: Check, service: Service) -> str:
    return await check.run(service)
