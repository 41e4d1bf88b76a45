"""A .wslconfig as WSL itself reads it, and what its lines do to this machine.

The grammar, the keys and what happens to a wrong line are those of WSL's own source and of Microsoft's page on
wsl-config. configparser would read other files than WSL does: a comment begins with # alone, an indented line is one
of its own, and of a key that comes twice the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.surroundings import in_words
from app.verify import Check, Status, needs
from app.verify.needs import GIB, MIB

KEYS = {
    "wsl2": "autoProxy crashDumpFolder debugConsole debugConsoleLogFile defaultVhdSize dhcp dhcpTimeout "
    "distributionStartTimeout dnsProxy dnsTunneling earlyBootLogging firewall gpuSupport guiApplications "
    "hardwarePerformanceCounters hostFileSystemAccess ipv6 isolateDistroCgroup kernel kernelBootTimeout "
    "kernelCommandLine kernelDebugPort kernelModules loadDefaultKernelModules loadKernelModules localhostForwarding "
    "macAddress maxCrashDumpCount memory mountDeviceTimeout nestedVirtualization networkingMode processors safeMode "
    "swap swapFile systemDistro telemetry virtio virtio9p virtiofs vmIdleTimeout vmSwitch",
    "experimental": "autoMemoryReclaim autoProxy bestEffortDnsParsing dnsTunneling dnsTunnelingIpAddress firewall "
    "hostAddressLoopback ignoredPorts initialAutoProxyTimeout networkingMode setVersionDebug sparseVhd swiotlb "
    "virtioFsAggregateShares",
    "general": "distributionInstallPath instanceIdleTimeout",
}
_KNOWN = {f"{section}.{key}".lower(): key for section, keys in KEYS.items() for key in keys.split()}
_OBSOLETE = {
    "pagereporting": "autoMemoryReclaim under [experimental] took its place",
    "usewindowsdnscache": "dnsTunneling under [wsl2] took its place",
}
_OF_WSL_CONF = {"boot", "automount", "network", "interop", "user", "gpu", "time"}
_UNITS = {"": 1, "B": 1} | {
    unit: 2**power for name, power in (("K", 10), ("M", 20), ("G", 30), ("T", 40)) for unit in (name, f"{name}B")
}
RESTART = "then in PowerShell: wsl --shutdown"


@dataclass(frozen=True)
class Word:
    """A line with content. `key` with its section, in lower case: `wsl2.memory`."""

    line: int
    text: str
    key: str = ""
    value: str = ""
    fault: str = ""
    """Why WSL passes it over; empty where it doesn't."""
    todo: str = ""


@dataclass(frozen=True)
class Machine:
    """The virtual machine as it is now: bytes and processors."""

    memory: int
    swap: int
    processors: int

    def __str__(self) -> str:
        swap = in_words(self.swap) if self.swap else "no"
        return f"here {in_words(self.memory)} of memory, {swap} swap and {self.processors} processors"


def measure(root: Path) -> Machine:
    """As the kernel below `root` tells it."""
    counts = needs.meminfo(root)
    try:
        processors = len(re.findall(r"^processor\s*:", (root / "proc/cpuinfo").read_text(errors="replace"), re.M))
    except OSError:
        processors = 0
    return Machine(counts.get("MemTotal", 0), counts.get("SwapTotal", 0), processors)


def read(path: Path) -> list[Word] | str:
    """Its lines; or, where it can't be read, why."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        return f"can't be read: {error.strerror}"
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return list(words(raw.decode(encoding, errors="replace")))


def words(text: str) -> Iterator[Word]:
    """Its lines with content, but the headings."""
    section: str | None = None
    before: dict[str, int] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[([A-Za-z][A-Za-z0-9]*)\]\s*(?:#.*)?", line):
            section = heading[1].lower()
            continue
        pair = re.match(r"([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*)$", line)
        if not pair:
            todo = "begin a comment with #" if line.startswith(";") else "write it as key=value below [wsl2]"
            yield Word(number, line, fault="is no key=value, and WSL passes it over", todo=todo)
            continue
        name, value = pair[1], re.sub(r'(?:"([^"]*)"|\s*#.*$)', lambda found: found[1] or "", pair[2]).strip()
        key = f"{section}.{name}".lower()
        fault, todo = _fault(section, name, value, before.get(key))
        before.setdefault(key, number)
        yield Word(number, line, key, value, fault, todo)


def _fault(section: str | None, name: str, value: str, before: int | None) -> tuple[str, str]:
    """Why WSL passes this line over, and what would be right."""
    homes = [home for home in KEYS if f"{home}.{name}".lower() in _KNOWN]
    if section is None or (homes and section not in homes):
        place = f"stands under [{section}]" if section else "stands before any [section]"
        todo = f"move it below [{homes[0]}]" if homes else "remove it"
        return f"{place}, where WSL passes it over", todo
    if not homes and name.lower() in _OBSOLETE:
        return f"is obsolete: {_OBSOLETE[name.lower()]}", "remove it"
    if section in _OF_WSL_CONF:
        return f"[{section}] belongs into /etc/wsl.conf; WSL passes it over here", "move it there"
    if not homes:
        return "WSL knows no such key, and passes it over", _nearest(section, name)
    if before:
        return f"came before, in line {before}: the first counts", "remove one of them"
    if "\\" in re.sub(r'\\[\\"]', "", value):
        return "has a single backslash, which WSL takes for the begin of a code as \\t", "write \\\\ for each backslash"
    return "", ""


def _nearest(section: str, name: str) -> str:
    import difflib

    near = difflib.get_close_matches(f"{section}.{name}".lower(), list(_KNOWN), 1, 0.8)
    return f"write {_KNOWN[near[0]]}" if near else "remove it"


def size(text: str) -> int | None:
    """Bytes, as WSL reads them: `8GB`, `512MB`, `8G`, a number alone is bytes; None for anything else."""
    found = re.fullmatch(r"([0-9]{1,15})([A-Z]{0,2})", text)
    return int(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else None


def judge(lines: list[Word], account: str, machine: Machine, environment: Mapping[str, str]) -> list[Check]:
    """Every line that is passed over, then memory, swap and processors, then what would hide the card or the page."""
    found = []
    for word in lines:
        if word.fault:
            said = f"line {word.line}, {word.text}: {word.fault}"
            found.append(Check("wslconfig-line", f"{account}'s .wslconfig", "WARN", said, f"{word.todo}; {RESTART}"))
    values = {word.key: word.value for word in lines if not word.fault}
    told = [
        _memory(values.get("wsl2.memory"), machine),
        _swap(values.get("wsl2.swap"), machine),
        _processors(values.get("wsl2.processors"), machine),
        *_switches(values, environment),
    ]
    for id, subject, status, said, todo in told:
        found.append(Check(id, f"{account}'s .wslconfig, {subject}", status, said, todo))
    return found


_Told = tuple[str, str, Status, str, str]


def _memory(value: str | None, machine: Machine) -> _Told:
    id, now = "wslconfig-memory", in_words(machine.memory)
    if value is None or value == "0":
        return id, "memory", "OK", f"not set: half of the host's, here {now}", ""
    subject, asked = f"memory={value}", size(value)
    if asked is None:
        return id, subject, "WARN", f"no size for WSL, which takes half of the host's: {now}", _as_size(value, "memory")
    if asked < 256 * MIB:
        return id, subject, "FAIL", f"that is {asked:,} bytes; WSL makes 256 MiB of it", f"memory={value}GB; {RESTART}"
    if asked > machine.memory * 1.1:
        said = f"there are {now}: WSL was not restarted since, or the host has no more, which leaves Windows nothing"
        return id, subject, "WARN", said, "in PowerShell: wsl --shutdown; if it stays so, take 3/4 of the host's memory"
    if asked < machine.memory * 0.9:
        return id, subject, "WARN", f"there are {now}: WSL was not restarted since", "in PowerShell: wsl --shutdown"
    return id, subject, "OK", f"there are {now}", ""


def _swap(value: str | None, machine: Machine) -> _Told:
    id, now = "wslconfig-swap", in_words(machine.swap) if machine.swap else "none"
    if value is None:
        return id, "swap", "OK", f"not set: a quarter of the memory, here {now}", ""
    subject, asked = f"swap={value}", size(value)
    if asked is None:
        return id, subject, "WARN", f"no size for WSL, which takes its default: {now}", _as_size(value, "swap")
    if asked == 0:
        said = "no margin: what passes the memory for a moment is killed; no card's memory is gained by it"
        return id, subject, "WARN", said, f"remove the line (the default is a quarter of the memory), {RESTART}"
    if asked < MIB:
        return id, subject, "WARN", f"that is {asked:,} bytes", f"swap={value}GB; {RESTART}"
    if abs(asked - machine.swap) > 0.1 * asked:
        said = f"here it is {now}: WSL was not restarted since, or its disk has no room"
        return id, subject, "WARN", said, "in PowerShell: wsl --shutdown"
    return id, subject, "OK", f"there are {now}", ""


def _processors(value: str | None, machine: Machine) -> _Told:
    id, now = "wslconfig-processors", machine.processors
    if value is None or value == "0":
        return id, "processors", "OK", f"not set: all of the host's, here {now}", ""
    subject = f"processors={value}"
    if not re.fullmatch("[1-9][0-9]{0,8}|0[xX][0-9a-fA-F]{1,7}|0[0-7]{1,9}", value):
        return id, subject, "WARN", f"no integer for WSL, which takes all: {now}", f"processors={now}; {RESTART}"
    asked = int(value, 8 if re.fullmatch("0[0-7]+", value) else 0)
    if asked > now:
        said = f"there are {now}: the host has no more, or WSL was not restarted since"
        return id, subject, "WARN", said, f"processors={now}; {RESTART}"
    if asked < now:
        return id, subject, "WARN", f"there are {now}: WSL was not restarted since", "in PowerShell: wsl --shutdown"
    return id, subject, "OK", f"there are {now}", ""


def _as_size(value: str, key: str) -> str:
    number = re.match("[0-9]{1,5}", value)
    return f"{key}={number[0] if number else 8}GB, whole numbers, in capitals, without a blank; {RESTART}"


def _switches(values: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[_Told]:
    on, off = ("true", "1"), ("false", "0")
    given = {key: value.lower() for key, value in values.items()}
    remove = f"remove the line, {RESTART}"
    if given.get("wsl2.gpusupport") in off:
        status: Status = "FAIL" if environment.get("RUN_APP_DEVICE") == "cuda" else "WARN"
        yield "wslconfig-gpu", "gpuSupport=false", status, "WSL is shown no card", remove
    if given.get("wsl2.safemode") in on:
        yield "wslconfig-safe-mode", "safeMode=true", "WARN", "many features of WSL are off", remove
    mode = given.get("wsl2.networkingmode") or given.get("experimental.networkingmode")
    if given.get("wsl2.localhostforwarding") in off and mode != "mirrored":
        said = "a browser on Windows does not reach the page of `gradio` at localhost"
        yield "wslconfig-localhost", "localhostForwarding=false", "WARN", said, remove


def fitted(machine: Machine, values: Mapping[str, str]) -> tuple[str, str]:
    """The lines that fit the host, each below its reason; and what is taken for granted about the host.

    Sizes are whole GiB. `values` are those of the .wslconfig that holds now.
    """
    asked = size(values.get("wsl2.memory", "")) or 0
    if 0.9 * asked < machine.memory < 1.1 * asked:
        memory = asked // GIB
        assumed = f"how much memory the host has is not seen from WSL, and memory={memory}GB is set: it stays"
        reason = "As it is set: with at least a quarter of the host's memory left to Windows it is right."
    else:
        host = _whole(2 * machine.memory)
        memory = max(host // 2, min(host * 3 // 4, host - 4))
        assumed = f"for a host of {host} GiB: {in_words(machine.memory)} are seen here, and WSL's default is half"
        reason = f"Of the host's {host} GiB; WSL's default is half. {host - memory} stay for Windows."
    cores = machine.processors
    spare = 0 if "wsl2.processors" in values else cores // 8
    cores_reason = f"Of {cores} seen here; {spare} stay for Windows while models load." if spare else "All seen here."
    lines = [
        "[wsl2]",
        f"# {reason}",
        f"memory={memory}GB",
        f"# {cores_reason} The app takes 8 threads unless it is told otherwise.",
        f"processors={max(1, cores - spare)}",
        "# A quarter of the memory, as WSL's default: what passes it for a moment is slow, and with swap=0 killed.",
        f"swap={max(2, -(-memory // 4))}GB",
    ]
    return "\n".join(lines), assumed


def _whole(size: int) -> int:
    """The GiB of a host that shows so much: a kernel keeps some to itself, and boards come in coarse steps."""
    step = GIB
    while step * 16 < size:
        step *= 2
    return -(-size // step) * step // GIB
