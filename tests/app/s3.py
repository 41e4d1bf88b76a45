"""A real server of the S3 kind: moto's, as a child process on a free port of this machine."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from typing import IO, Any

PAGE = 10
"""Files to a page of a listing; AWS has 1000."""


class Server:
    """A moto of its own, to be killed by whoever wants."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}, **pipes)
        assert self.process.stderr
        found = None
        while found is None:
            line = self.process.stderr.readline()
            assert line, "moto did not start"
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        self.port = int(found[1])
        self._log: list[str] = []
        threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True).start()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._log.append(line)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, others: Mapping[str, str]) -> dict[str, str]:
        """What a user of this server sets, for a process, and nothing of the machine's own."""
        kept = {name: value for name, value in others.items() if not foreign(name)}
        return kept | {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def asked(self, method: str) -> list[str]:
        """The paths, with their queries, of all requests of this kind that it has answered: /bucket/key?list-type=2."""
        last = f"/moto-api/reset-auth?{secrets.token_hex(6)}"
        self.post(last, b"inf")
        while not any(last in line for line in self._log):  # behind it all those before have come
            assert self.process.poll() is None
            time.sleep(0.01)
        return [found[1] for line in self._log if (found := re.search(rf'"{method} (\S+) HTTP', line))]

    def forget(self) -> None:
        """What was asked so far."""
        self.asked("GET")
        self._log.clear()

    def post(self, path: str, data: bytes = b"") -> None:
        request = urllib.request.Request(f"{self.address}{path}", data, {"Content-Type": "text/plain"})
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()

    def reset(self) -> None:
        """Without buckets and users, as it was."""
        self.post("/moto-api/reset-auth", b"inf")
        self.post("/moto-api/reset")
        self.forget()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def foreign(name: str) -> bool:
    """Whether this variable would lead to another server, or another user."""
    return name.startswith(("AWS_", "FSSPEC_")) or name.lower().endswith("_proxy")


def forget_clients() -> None:
    """s3fs keeps one for all of this process: with the address and the keys that it began with."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def client(server: Server, service: str = "s3") -> Any:
    import boto3

    keys = {"aws_access_key_id": "somebody", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    return boto3.client(service, endpoint_url=server.address, **keys)


def bucket(server: Server, name: str = "speech") -> str:
    client(server).create_bucket(Bucket=name)
    return f"s3://{name}"


def objects(server: Server, name: str = "speech", below: str = "") -> dict[str, bytes]:
    """All that lies in the bucket, by key relative to `below` (`out/`)."""
    s3 = client(server)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=below)
    keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
    return {key.removeprefix(below): s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}
