"""What reaches the program besides its arguments: the environment to the byte, the streams, and the system's limits."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, RUN_APP, Run

Profile = Callable[..., Path]
ENVIRON = ("--", "cat", "/proc/self/environ")


def environ(data: bytes) -> dict[bytes, bytes]:
    pairs = (pair.partition(b"=") for pair in data.split(b"\0") if pair)
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("names", ["cpu", "gpu", "blackwell96,wsl"])
def test_the_environment_at_exec_is_the_plan_exactly(run_app: Run, home: dict[str, str], names: str) -> None:
    words = ("-p", names, "--set", "X=a=b\nc", "--unset", "GONE")
    extra = {"GONE": "1", "TOKENIZERS_PARALLELISM": "true"}
    plan = json.loads(run_app(*words, "--print=json", env=extra).stdout)
    settings = {setting["name"]: setting["value"] for setting in plan["settings"]}
    expected = home | extra | settings | {"RUN_APP_PROFILE": names, "RUN_APP_SETTINGS": ",".join(settings)}
    del expected["GONE"]
    there = environ(run_app(*words, *ENVIRON, env=extra, text=False).stdout)
    assert there == {os.fsencode(name): os.fsencode(value) for name, value in expected.items()}


def test_inherited_bytes_pass_unchanged_whatever_the_locale(run_app: Run, home: dict[str, str]) -> None:
    """In the C locale Python adds LC_CTYPE to its own environment; the program must not see that."""
    del home["LC_ALL"]
    raw = {b"X": b"caf\xe9\xff", b"Y": "é".encode(), b"LONG": b"x" * 100_000}
    for locale in ({}, {b"LC_ALL": b"C"}, {b"LC_CTYPE": b"C.UTF-8"}, {b"LANG": b"xx_YY"}):
        env = {os.fsencode(name): os.fsencode(value) for name, value in home.items()} | raw | locale
        words = [*RUN_APP, "-p", "cpu", *ENVIRON]
        there = environ(subprocess.run(words, env=env, capture_output=True, check=True).stdout)
        settings = [*there.pop(b"RUN_APP_SETTINGS").split(b","), b"RUN_APP_PROFILE"]
        assert {name: value for name, value in there.items() if name not in settings} == env


ARENAS = """if True:
    import ctypes, re, threading
    libc, together = ctypes.CDLL(None), threading.Barrier(24)
    libc.malloc.restype = ctypes.c_void_p
    def allocate():
        together.wait()
        for _ in range(200):
            libc.free(ctypes.c_void_p(libc.malloc(1000)))
        together.wait()
    threads = [threading.Thread(target=allocate) for _ in range(24)]
    [t.start() for t in threads]; [t.join() for t in threads]
    libc.open_memstream.restype = ctypes.c_void_p
    text, size = ctypes.c_char_p(), ctypes.c_size_t()
    stream = ctypes.c_void_p(libc.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    libc.malloc_info(0, stream); libc.fclose(stream)
    print(len(re.findall(rb"<heap nr=", text.value)))
"""


def test_glibc_obeys_what_the_profile_says_of_arenas(run_app: Run, profile: Profile) -> None:
    """The proof that it was there at exec: set from within Python, it would change nothing."""
    profile("MALLOC_ARENA_MAX=2")
    assert int(run_app("-p", "mine", "--", PYTHON, "-c", ARENAS).stdout) == 2
    without = int(run_app("-p", "cpu", "--", PYTHON, "-c", ARENAS).stdout)
    assert without > 2
    late = "import os; os.environ['MALLOC_ARENA_MAX'] = '2'\n" + ARENAS
    assert int(run_app("-p", "cpu", "--", PYTHON, "-c", late).stdout) == without


def test_arguments_up_to_the_systems_limit_and_a_profile_that_goes_over_it(run_app: Run, profile: Profile) -> None:
    """The kernel counts arguments, environment and a pointer for each, in 1/4 of the stack's limit (at most 6 MiB)."""
    limit = min(os.sysconf("SC_ARG_MAX"), 6 << 20)
    words = ["x" * 100_000] * ((limit - 150_000) // 100_009)
    count = ("--", "sh", "-c", "echo $#", "sh")
    done = run_app("-p", "cpu", *count, *words)
    assert (done.stdout, done.stderr) == (f"{len(words)}\n", "")
    for name in "abcdefgh":
        profile(f"V{name}={'x' * 60_000}", name)

    def no_more(said: str) -> bool:
        size, most = map(int, re.findall(r"(\d+) bytes of at most (\d+)", said)[0])
        return size > most

    done = run_app("-p", "a,b,c,d,e,f,g,h", *count, *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (126, "", 1)
    assert "arguments and environment are too long for the system" in done.stderr
    assert no_more(done.stderr)
    # One byte more than what just fits, with the profile's 60,000: the launcher's own start is far from the limit.
    fits, too_much, said = limit - 200_000, limit - 30_000, ""
    while too_much - fits > 1:
        middle = (fits + too_much) // 2
        many = ["x" * 100_000] * (middle // 100_009)
        done = run_app("-p", "a", "--", "true", *many, "x" * (middle % 100_009))
        fits, too_much = (middle, too_much) if done.returncode == 0 else (fits, middle)
        said = done.stderr or said
    assert no_more(said)
    profile(f"HALF={'x' * 60_000}\nONE=${{HALF}}${{HALF}}${{HALF}}"[:65_000])
    done = run_app("-p", "mine", "--", "true")
    assert (done.returncode, done.stderr.count("\n")) == (126, 1)
    assert "'ONE'" in done.stderr


def test_stdin_reaches_the_program_unread(run_app: Run) -> None:
    assert run_app("-p", "cpu", "--", "cat", input="line 1\nline 2\n").stdout == "line 1\nline 2\n"


@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_closed_streams_stay_closed_and_keep_nothing_from_starting(run_app: Run, tmp_path: Path, closed: str) -> None:
    program = """if True:
        import os
        still_open = ""
        for number in range(3):
            try:
                os.fstat(number)
                still_open += str(number)
            except OSError:
                pass
        open("out", "w").write(still_open)
    """
    closing = " ".join(f"{number}>&-" for number in closed)
    # An inherited value is replaced, so that there is something to say on a stderr that is closed.
    inner = f'TOKENIZERS_PARALLELISM=true "$0" -P -m launcher -p cpu -- "$0" -c "$1" {closing}'
    done = run_app("-p", "cpu", "--", "sh", "-c", inner, PYTHON, program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_text() == "".join(number for number in "012" if number not in closed)
    assert "Traceback" not in done.stderr


def test_a_terminal_stays_the_programs_terminal(home: dict[str, str]) -> None:
    master, slave = pty.openpty()
    words = [*RUN_APP, "-p", "cpu", "--", "sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo all"]
    process = subprocess.Popen(words, env=home, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    assert process.wait(timeout=60) == 0
    assert os.read(master, 100) == b"all\r\n"
    os.close(master)


def test_print_into_a_closed_pipe_or_a_full_disk_is_no_traceback(run_app: Run) -> None:
    line = '"$0" -P -m launcher -p cpu --print=json'
    for redirect, says in (("| true", ""), (">/dev/full", "stdout: No space left on device"), (">&-", "stdout")):
        done = run_app("-p", "cpu", "--", "sh", "-c", f"{line} {redirect}", PYTHON)
        assert says in done.stderr
        assert done.stderr.count("\n") == (1 if says else 0), done.stderr
        assert done.returncode == (1 if says else 0)


def test_ctrl_c_during_the_start_is_no_traceback(home: dict[str, str], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    (tmp_path / "pynvml.py").write_text(f"import time; open({str(ready)!r}, 'w'); time.sleep(60)")
    words = [*RUN_APP, "--", "true"]
    env = home | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not ready.exists():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == -signal.SIGINT


def test_the_program_is_found_by_the_path_it_will_see(run_app: Run, profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    tool = tmp_path / "tools/my-tool"
    tool.write_text('#!/bin/sh\necho "$0"\n')
    tool.chmod(0o755)
    profile(f"PATH={tmp_path}/tools:${{PATH}}")
    assert run_app("-p", "mine", "--", "my-tool").stdout == f"{tool}\n"
    assert run_app("-p", "cpu", "--", "my-tool").returncode == 127


def test_a_relative_command_runs_in_the_current_directory(run_app: Run, tmp_path: Path) -> None:
    (tmp_path / "here.sh").write_text("#!/bin/sh\npwd\n")
    (tmp_path / "here.sh").chmod(0o755)
    assert run_app("-p", "cpu", "--", "./here.sh", cwd=tmp_path).stdout == f"{tmp_path}\n"


def test_a_current_directory_that_is_gone_matters_only_where_it_is_asked_for(run_app: Run) -> None:
    gone = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -P -m launcher'
    assert run_app("--", "sh", "-c", f"{gone} -p cpu -- echo started", PYTHON).stdout == "started\n"
    done = run_app("-p", "cpu", "--", "sh", "-c", f"{gone} -p ./x.env -- echo started", PYTHON)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "run-app: the current folder is gone; cd to one that is there\n"


def test_no_file_descriptor_of_the_launcher_reaches_the_program(run_app: Run) -> None:
    program = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    assert run_app("-p", "cpu", "--", PYTHON, "-c", program).stdout == "[0, 1, 2, 3]\n"
    assert run_app("--", PYTHON, "-c", program).stdout == "[0, 1, 2, 3]\n"
