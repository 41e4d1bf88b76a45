"""The driver's side of a worker on a node: as app.supervisor.Worker, but that an actor stands between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app import messages
from app.cluster.hand import Ended
from app.diagnosis import Death
from app.memory import Reading, Readings
from app.messages import Idle, Message, Task


class RemoteLog:
    def __init__(self, actor: Any, node: str) -> None:
        self._actor, self._node = actor, node

    def keep(self) -> str:
        """Leave it there; returns where."""
        import ray

        try:
            return f"{self._node}:{ray.get(self._actor.keep_log.remote(), timeout=10)}"
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
    """A worker process on `node`, and the actor that supervises it there."""

    def __init__(self, actor: Any, module: str, node: str) -> None:
        self._actor, self._module, self.node = actor, module, node
        self.log = RemoteLog(actor, node)
        self.memory = RemoteMeter()
        self._stream: Any = None
        self._death: Death | None = None
        self._lost = False

    def give(self, job: Task, *, last: bool = True) -> None:
        self._death, self.memory = None, RemoteMeter()
        self._stream = self._actor.work.options(num_returns="streaming").remote(job, self._module)

    def messages(self) -> Iterator[Message]:
        import ray

        try:
            for reference in self._stream:
                said = ray.get(reference)
                if isinstance(said, Ended):
                    self._death = said.death
                    self.memory.resident, self.memory.on_cards = dict(said.resident), dict(said.on_cards)
                    return
                line, self.memory.last = said
                message = messages.decode(line)
                if not isinstance(message, Idle):
                    yield message
        except (ray.exceptions.RayActorError, ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError) as error:
            first = str(error).strip().partition("\n")[0]
            self._lost = True
            self._death = Death(f"the worker on {self.node} is lost", None, first, None, memory=False)

    def death(self) -> Death | None:
        return self._death

    def kill(self) -> None:
        import ray

        self._lost = True
        ray.kill(self._actor, no_restart=True)

    def remedy(self, reason: str) -> str | None:
        import ray

        try:
            found: str | None = ray.get(self._actor.remedy.remote(reason), timeout=10)
        except Exception:  # the actor is lost: nothing is known
            return None
        return found

    def dismiss(self) -> bool:
        """End the worker process; returns whether its actor is there for another."""
        import ray

        if self._lost:
            return False
        try:
            ray.get(self._actor.dismiss.remote(), timeout=10)
        except Exception:  # it is gone already, or hangs and is killed
            ray.kill(self._actor, no_restart=True)
            return False
        return True
