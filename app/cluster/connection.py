"""Ray from the driver: started for one run, or joined; and the end of the run where its head is lost."""

from __future__ import annotations

import _thread
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import app
from app.errors import UsageError, WorkError, in_a_line
from launcher.cli import say

STORE = 80 * 2**20
"""Bytes for Ray's object store, its least: paths and messages go through it, no audio."""
CONNECT_S = 10
"""Within which the head of a cluster has to answer."""
LOOK_S = 5.0
"""From one look at the head to the next."""
LOOKS = 6
"""In vain, one after the other, and the head is lost. Ray would end this process after 60 s, with words of its own."""
ORDER_S = 15.0
"""For an end in good order."""
OURS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Whatever it is called: without it Ray takes 127.0.0.1 for this machine's outer address, and listens there.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Whoever reaches a Ray can run programs in it: ours is for this run and this machine. Ray reads them at import."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def connected(address: str | None, cpus: int, *, cards: bool) -> Iterator[None]:
    """Within it Ray can be used. One that was joined goes on afterwards; our own ends, and leaves nothing.

    Without an address it is our own, with so many CPUs and, if it is to have any, this machine's cards. Raises
    UsageError where there is no Ray to be had, and WorkError at the end if its head was lost.
    """
    told: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address is None:
        os.environ.update(OURS, RAY_AUTH_TOKEN=secrets.token_hex(32))
        told |= {"address": "local", "num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE}
        told |= {"_node_ip_address": "127.0.0.1"} | ({} if cards else {"num_gpus": 0})
    else:
        _check(address)
        told["address"] = address
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs the package ray, not installed here: pip install 'run-app[ray]'") from None
    session, wanted = None, True
    try:
        with _signals_wait(), contextlib.chdir(Path(app.__file__).parents[1]):
            # Ray lets its workers import from the folder one stands in, before all others.
            try:
                there = ray.init(**told).address_info
            except Exception as error:  # of a dozen kinds
                what = "Ray does not start here" if address is None else f"--address {address}: no Ray can be joined"
                raise UsageError(f"{what}: {_why(error)}") from None
            session = None if address else there["session_dir"]
        with _watched(there["gcs_address"]):
            yield
        wanted = False
    except KeyboardInterrupt:
        wanted = False
        raise
    finally:
        with _signals_wait():
            ray.shutdown()
        if session and not wanted:  # else what Ray has written there may tell more
            shutil.rmtree(session, ignore_errors=True)


def _check(address: str) -> None:
    """Ray itself would try for minutes. Raises UsageError where nobody listens."""
    host, colon, port = address.rpartition(":")
    if address == "auto":
        return
    if not colon or not port.isdecimal() or "/" in host:
        raise UsageError(f"--address {address}: must be HOST:PORT, as `ray start` says it, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--address {address}: no Ray can be reached there ({error})") from None


def _why(error: Exception) -> str:
    """In a line."""
    if "Version mismatch" in str(error):
        named = re.findall(r"(?:Ray|Python): (\S+)", str(error))
        if len(named) == 4:
            return "it has Ray {} and Python {}, this machine Ray {} and Python {}: make them the same".format(*named)
    return in_a_line(error)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """The first signal to end is heard when this is over: amid Ray's start or end it would leave processes behind, and
    a thread of Ray's that breaks the interpreter's end. A second one is heard at once.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = {number: handler for number, handler in before.items() if callable(handler)}
    came: list[int] = []

    def take_down(number: int, frame: Any) -> None:
        if came:
            ours[signal.Signals(number)](number, frame)
        came.append(number)

    for number in ours:
        signal.signal(number, take_down)
    try:
        yield
    except SystemExit:  # Ray puts its own handler for SIGTERM in the place of ours
        came.append(signal.SIGTERM)
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _watched(head: str) -> Iterator[None]:
    """Raises WorkError, once all work was told to stop, where the head does not answer any more."""
    host, _, port = head.rpartition(":")
    over, lost = threading.Event(), threading.Event()
    line = f"the head of Ray, {head}, is lost; what is finished is kept, the same command goes on"

    def watch() -> None:
        vain = 0
        while not over.wait(LOOK_S):
            try:
                socket.create_connection((host.strip("[]"), int(port)), LOOK_S).close()
                vain = 0
            except OSError:
                vain += 1
            if vain == LOOKS:
                lost.set()
                _thread.interrupt_main()
                time.sleep(ORDER_S)
                say(line)  # Ray waits for its head in some call
                os._exit(1)

    threading.Thread(target=watch, daemon=True, name="head").start()
    try:
        yield
    except KeyboardInterrupt:
        if not lost.is_set():
            raise
        raise WorkError(line) from None
    finally:
        over.set()
