"""The one lane to the models: a worker that takes the jobs in their order, and ends when it has long been idle."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from app import messages
from app.errors import UsageError, WorkError, in_a_line
from app.runner import Runner, Stopped
from app.settings import Settings
from app.store import state_folder
from app.supervisor import Log, Worker
from app.web.asking import Preloading, ask, find_models
from app.web.front import JobFront
from app.web.jobs import Job, JobStore
from app.web.options import Options

STOP_S = 2.0
"""That the lane's thread has to put down how its job is."""


class Lane:
    """A thread of its own: `start`, and `stop`, which ends the worker within seconds and leaves its job resumable.

    What the models take is given back by the end of the worker, and by nothing else.
    """

    def __init__(self, store: JobStore, settings: Settings, *, idle_unload_s: float, offline: bool = False) -> None:
        """The worker ends when it had nothing to do for `idle_unload_s`."""
        self._store, self._settings, self._offline = store, settings, offline
        self._idle_unload_s = idle_unload_s
        self._changed = threading.Condition(threading.RLock())
        self._thread = threading.Thread(target=self._loop, daemon=True, name="lane")
        self._front: JobFront | None = None
        """Of the job under way."""
        self._loading = False
        self._ending = threading.Event()
        self._resting = False
        """Somebody else has the machine."""
        self._worker: Worker | None = None
        self._stack = ExitStack()
        """What ends the worker."""
        self._idle_since = time.monotonic()

    def start(self, *, preload: bool = False) -> None:
        """Take up what was left, and wait for more. `preload`: load the profile's models now."""
        self._loading = preload
        self._thread.start()

    def stop(self) -> None:
        """End at once: the job under way goes on at the next start."""
        with self._changed:
            self._ending.set()
            if self._front:
                self._front.stop.set()
            self._interrupt()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def wake(self) -> None:
        """There is a new job."""
        with self._changed:
            self._changed.notify_all()

    def cancel(self, id: str) -> None:
        """The job ends, now or before it begins; what is finished of it is kept. Nothing, where it is over."""
        with self._changed:
            if self._front and self._front.job.id == id:
                self._front.cancelled = True
                self._front.stop.set()
                self._interrupt()
                return
            job = self._store.find(id)
            if job.state == "queued":
                job.state = "cancelled"
                self._store.save(job)

    def again(self, id: str) -> None:
        """Queue one that failed or was cancelled; its files that are done stay so."""
        with self._changed:
            job = self._store.find(id)
            if job.state not in ("failed", "cancelled"):
                return
            job.state, job.error, job.progress = "queued", "", 0.0
            for each in job.files:
                if each.state != "done":
                    each.state, each.error = "waiting", ""
            self._store.save(job)
            self._changed.notify_all()

    def curve(self, id: str) -> dict[str, Any] | None:
        """What the job under way takes; None of any other."""
        front = self._front
        return front.curve.as_json() if front and front.job.id == id else None

    def seconds(self, id: str) -> float | None:
        """That the job under way has been worked on; None of any other."""
        front = self._front
        return time.monotonic() - front.since if front and front.job.id == id else None

    def free(self) -> bool:
        """End a worker that has nothing to do; False where there is none such."""
        with self._changed:
            if self._front or self._loading or self._worker is None:
                return False
            stack = self._parted()
        stack.close()
        return True

    @contextmanager
    def rest(self) -> Iterator[None]:
        """The machine for something else: no job begins meanwhile. Raises UsageError while one is worked on."""
        with self._changed:
            if self._front or self._loading or self._resting:
                raise UsageError("a job is being worked on: try again when it is over")
            self._resting = True
            stack = self._parted()
        try:
            stack.close()
            yield
        finally:
            with self._changed:
                self._resting = False
                self._changed.notify_all()

    def worker(self) -> dict[str, Any]:
        """As Board.worker says."""
        with self._changed:
            worker, front = self._worker, self._front
            worker = worker if worker and worker.alive else None
            state = "none" if worker is None else "working" if front else "loading" if self._loading else "idle"
            resident, on_cards = worker.memory.look() if worker else (0, 0)
            idle_s = time.monotonic() - self._idle_since if state == "idle" else 0.0
        return {
            "state": state,
            "rss": round(resident / 2**20),
            "vram": round(on_cards / 2**20),
            "idle_s": round(idle_s),
            "unload_s": round(self._idle_unload_s),
        }

    def _interrupt(self) -> None:
        """What it has finished is on the disk."""
        if self._worker and (self._front or self._loading):
            self._worker.kill()

    def _loop(self) -> None:
        if self._loading:
            self._preload()
        while not self._ending.is_set():
            if self._idle():
                continue
            assert self._front
            try:
                self._do(self._front.job, self._front)
            finally:
                with self._changed:
                    self._front, self._idle_since = None, time.monotonic()
        self._unload()

    def _idle(self) -> bool:
        """Take the next job in hand; True, after a while, where there is none."""
        with self._changed:
            job = None if self._resting else self._store.next()
            if job is not None:
                self._front = JobFront(job, self._store)
                if self._ending.is_set():
                    self._front.stop.set()
                return False
            left_s = self._idle_since + self._idle_unload_s - time.monotonic()
            if self._worker is None or left_s > 0:
                if not self._ending.is_set():
                    self._changed.wait(left_s if self._worker else None)
                return True
            stack = self._parted()
        stack.close()
        return True

    def _do(self, job: Job, front: JobFront) -> None:
        """All of a job; whatever happens, it is on the disk how it ended."""
        if job.lines:
            job.lines.append("taken up again; what was finished is kept")
        job.state, job.error = "running", ""
        front.save()
        try:
            request = ask(self._settings, job.options, front.inputs(), owner=job.owner, offline=self._offline)
            prepared = find_models(request, front, front.stop)
            runner = Runner(prepared, front, front, worker=self._lent, last=False, stopped=front.stop.is_set)
            runner.run(request.inputs)
            lost = [each.error for each in job.files if each.state != "done"]
            job.state, job.error = ("failed", lost[0]) if lost else ("done", "")
        except Stopped:
            job.state = "cancelled" if front.cancelled else "queued"
        except (UsageError, WorkError) as error:
            job.state, job.error = "failed", front.clean(str(error))
        except Exception as error:  # a bug of ours costs this job, and not those that wait
            traceback.print_exc()
            job.state, job.error = "failed", front.clean(in_a_line(error))
        for each in job.files:
            if each.state in ("waiting", "running"):
                failed = job.state == "failed"
                each.state, each.error = ("failed", job.error) if failed else ("waiting", "")
        job.seconds, job.stage, job.index = time.monotonic() - front.since, "", None
        with suppress(OSError):
            self._store.save_memory(job, front.curve.as_json())
        front.save()

    @contextmanager
    def _lent(self) -> Iterator[Worker]:
        """The worker, a new one if there is none; afterwards it stays, unless it died or was left in the middle."""
        with self._changed:
            if self._ending.is_set() or (self._front and self._front.stop.is_set()):
                raise Stopped
            stack = self._parted() if self._worker and not self._worker.alive else ExitStack()
        stack.close()
        with self._changed:
            if self._worker is None:
                log = self._stack.enter_context(Log(state_folder("logs")))
                self._worker = self._stack.enter_context(Worker(log))
            worker = self._worker
        whole = False
        try:
            yield worker
            whole = True
        finally:
            if not (whole and worker.alive):
                self._unload()

    def _unload(self) -> None:
        with self._changed:
            stack = self._parted()
        stack.close()

    def _parted(self) -> ExitStack:
        """The worker is ours no more; who closes this ends it, without the lock: it may take its time."""
        stack, self._stack, self._worker = self._stack, ExitStack(), None
        return stack

    def _preload(self) -> None:
        """What a first job would load; one that keeps nothing loaded has at least its libraries then."""
        front = Preloading()
        try:
            request = ask(self._settings, Options(diarize=self._settings.resident), [], offline=self._offline)
            job = find_models(request, front, self._ending)
            with self._lent() as worker:
                worker.give(job, last=False)
                for message in worker.messages():
                    match message:
                        case messages.Loaded(stage, what) if what:
                            front.say(f"{stage}: {what}")
                        case messages.Noted(text) | messages.Failed(text):
                            front.say(text)
                if (death := worker.death()) and not self._ending.is_set():
                    front.say(death.line)
        except Stopped:
            pass
        except (UsageError, WorkError) as error:
            front.say(str(error))
        except Exception as error:  # jobs load what they need themselves
            traceback.print_exc()
            front.say(in_a_line(error))
        finally:
            with self._changed:
                self._loading, self._idle_since = False, time.monotonic()
