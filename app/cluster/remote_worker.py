"""The driver's side of a worker on a node: as app.supervisor.Worker, but that an actor stands between."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from app import messages
from app.cluster.hand import Ended, Said
from app.diagnosis import Death
from app.errors import UsageError, WorkError, in_a_line
from app.memory import Reading, Readings
from app.messages import Finished, Idle, Message, Noted, Task
from app.supervisor import Gone

PATIENCE_S = 20
"""Within which an actor starts where nobody is in its way: its interpreter and modules, read from a shared disk."""
HIRE_S = 100
"""Longer yet, and its place is given up."""
ANSWER_S = 10
"""For an actor that has nothing else to do."""
AHEAD = 1000
"""Messages that a worker may be ahead of the driver: their objects are kept in the driver's memory."""


class RemoteLog:
    def __init__(self, actor: Any, node: str) -> None:
        self._actor, self._node = actor, node
        self.kept = ""
        """Where, once the worker has said something of which it tells more."""

    def keep(self) -> str:
        """Leave it there; returns where."""
        import ray

        if self.kept:
            return f"{self._node}:{self.kept}"
        try:
            return f"{self._node}:{ray.get(self._actor.keep_log.remote(), timeout=ANSWER_S)}"
        except Exception:  # the actor went with its log
            return f"lost with its process on {self._node}"


class RemoteMeter:
    """What the actor has measured; see app.memory.PeakMeter."""

    def __init__(self) -> None:
        self.resident: dict[str, Reading] = {}
        self.on_cards: dict[str, Reading] = {}
        self.last = 0
        self.curve: Readings | None = None

    def look(self) -> tuple[int, int]:
        """Bytes resident when it last said something, and on the cards: not known."""
        return self.last, 0

    def phase(self, name: str) -> None:
        """Nothing: the actor knows."""


class RemoteWorker:
    """A worker process on `node`, and the actor that supervises it there. All that waits for the actor ends with it, so
    `kill` ends it all.
    """

    def __init__(self, actor: Any, module: str, node: str, *, fresh: bool) -> None:
        """`fresh`: the actor has not said yet whether it can do the work."""
        self.actor, self._module, self.node = actor, module, node
        self.log = RemoteLog(actor, node)
        self.memory = RemoteMeter()
        self._refusal = actor.refusal.remote() if fresh else None
        self._remedy: str | None = None
        """For what it said last."""
        self._stream: Any = None
        self._death: Death | None = None
        self._lost = self._killed = False

    def give(self, job: Task, *, last: bool = True) -> None:
        self._death, self.memory = None, RemoteMeter()
        work = self.actor.work.options(num_returns="streaming", _generator_backpressure_num_objects=AHEAD)
        self._stream = work.remote(job, self._module)

    def messages(self) -> Iterator[Message]:
        """All it says. Raises Gone where it never comes to life, UsageError where it refuses, WorkError where it can't
        supervise.
        """
        import ray

        yield from self._begin()
        try:
            for reference in self._stream:
                said = ray.get(reference)
                if isinstance(said, Ended):
                    self._death = said.death
                    self.memory.resident, self.memory.on_cards = dict(said.resident), dict(said.on_cards)
                    return
                assert isinstance(said, Said)
                self.memory.last, self._remedy = said.resident, said.remedy
                self.log.kept = said.log or self.log.kept
                message = messages.decode(said.line)
                if isinstance(message, Finished):  # by the clock of this machine: every other has its own
                    message = dataclasses.replace(message, began=time.monotonic() - message.seconds)
                if not isinstance(message, Idle):
                    yield message
        except ray.exceptions.RayTaskError as error:
            raise WorkError(f"{self.node}: the worker can't be supervised: {in_a_line(error.cause)}") from None
        except ray.exceptions.RayError as error:
            self._lost = True
            self._death = _death(error, self.node)

    def _begin(self) -> Iterator[Message]:
        """Until the actor is there and does not refuse."""
        import ray

        if self._refusal is None or self._killed:
            return
        refusal, self._refusal = self._refusal, None
        said = False
        try:
            if not ray.wait([refusal], timeout=PATIENCE_S)[0]:
                others = "others hold its CPUs or its cards, or it is lost (`ray status`)"
                yield Noted(f"{self.node}: no worker starts there; {others}; waiting {HIRE_S} s more", None)
                said = True
                if not ray.wait([refusal], timeout=HIRE_S)[0]:
                    ray.kill(self.actor, no_restart=True)
            refused = ray.get(refusal)
        except ray.exceptions.RuntimeEnvSetupError as error:
            raise WorkError(f"{self.node}: no worker starts there: {in_a_line(error)}") from None
        except ray.exceptions.RayError as error:
            self._lost = True
            if self._killed:
                return
            if not said and isinstance(error, ray.exceptions.ActorDiedError):
                yield Noted(f"{self.node}: no worker starts there: {_death(error, self.node).cause}", None)
            raise Gone(f"{self.node}: no worker could start" if said else f"{self.node} is lost") from None
        if refused:
            raise UsageError(f"{self.node}: {refused}")

    def death(self) -> Death | None:
        return self._death

    def kill(self) -> None:
        import ray

        self._lost = self._killed = True
        ray.kill(self.actor, no_restart=True)

    def remedy(self, reason: str) -> str | None:
        return self._remedy

    def dismiss(self) -> bool:
        """End the worker process; returns whether its actor is there for another."""
        import ray

        if not self._lost:
            try:
                ray.get(self.actor.dismiss.remote(), timeout=ANSWER_S)
                return True
            except Exception:  # it is gone already, or hangs and is killed
                pass
        ray.kill(self.actor, no_restart=True)
        return False


def answers(actor: Any) -> bool:
    """Whether one that has nothing to do lives; else it is ended."""
    import ray

    try:
        ray.get(actor.refusal.remote(), timeout=ANSWER_S)
    except Exception:
        ray.kill(actor, no_restart=True)
        return False
    return True


def _death(error: Exception, node: str) -> Death:
    """What an error of Ray's means."""
    import ray

    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Death(
            f"the worker on {node} was ended by Ray",
            None,
            "the machine was short of memory",
            "fewer --workers, or a smaller --model",
            memory=True,
            lost=True,
        )
    text = str(error)
    if "its node has died" in text:
        cause = "its machine does not answer any more"
    elif isinstance(error, ray.exceptions.ActorUnavailableError):
        cause = "the connection to it broke"
    elif isinstance(error, ray.exceptions.RayActorError):
        cause = "its supervisor was killed, or crashed"
    else:
        cause = in_a_line(error)
    return Death(f"the worker on {node} is lost", None, cause, None, memory=False, lost=True)
