"""A profile that is wrong ends the start: exit 2, one line with file:line and the mend, nothing started."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from tests.launcher.launching import PYTHON, ROOT, RUN_APP, Run

Profile = Callable[..., Path]
STARTED = ("--", "echo", "started")
ON_WSL = "os.uname = lambda: type('U', (), {'release': '5.15.153.1-Microsoft-standard-WSL2'});"


def refused(run_app: Run, *words: str, **env: str) -> str:
    """The one line with which run-app refuses to start."""
    done = run_app(*words, *STARTED, env=env)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return str(done.stderr).removeprefix("run-app: ").rstrip("\n")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("A=1\nwhat is this\n", 2, "not a line NAME=value"),
        ("A=1\n\n\n# comment\nB\n", 5, "no = in this line"),
        ('A="open\nB=2\n', 1, "not a line NAME=value"),
        ("A='x' y\n", 1, "not a line NAME=value"),
        ("A=1\r\n\r\n B='open\r\n", 3, "not a line NAME=value"),
        ("=1\n", 1, "not a line NAME=value"),
        ("A=1\nB=2\nA=3\n", 3, "A already stands in line 1"),
        ("A='1'\n\nA=3 # x\n", 3, "A already stands in line 1"),
        ("A-B=1\n", 1, "'A-B' is no name for a variable"),
        ("1A=1\n", 1, "'1A' is no name for a variable"),
        ("É=1\n", 1, r"'\xc9' is no name for a variable"),
        ("A=1\n\ufeffB=1\n", 2, r"'\ufeffB' is no name for a variable"),
        ("A=\"'True'\"\n", 1, "the value of A keeps its quotes"),
        ("A='\"x\"'\n", 1, "the value of A keeps its quotes"),
        ("A=1\nB=${A:+x}\n", 2, "only ${NAME} and ${NAME:-default} can"),
        ("A=${B-x}\n", 1, "only ${NAME} and ${NAME:-default} can"),
        ("A=${}\n", 1, "only ${NAME} and ${NAME:-default} can"),
        ("A=${HOME\n", 1, "only ${NAME} and ${NAME:-default} can"),
        ("A=${B:-${HOME}}\n", 1, "only ${NAME} and ${NAME:-default} can"),
        ("A=${NO_SUCH}\n", 1, "asks for ${NO_SUCH}, which nothing has set; write ${NO_SUCH:-default}"),
        ("B=${A}\nA=1\n", 1, "asks for ${A}"),
        ("BASH_ENV=/x\n", 1, "BASH_ENV runs code in every program"),
        ("ENV=/x\n", 1, "ENV runs code"),
        ("PYTHONHOME=/x\n", 1, "PYTHONHOME runs code"),
        ("PYTHONSTARTUP=/x\n", 1, "PYTHONSTARTUP runs code"),
        ("PYTHONPATH=/x\n", 1, "--set PYTHONPATH=..."),
        ("PYTHONUSERBASE=/x\n", 1, "PYTHONUSERBASE runs code"),
        ("ZDOTDIR=/x\n", 1, "ZDOTDIR runs code"),
        ("RUN_APP_SETTINGS=x\n", 1, "it cannot be set"),
        ("RUN_APP_MODLE=base\n", 1, "nothing reads RUN_APP_MODLE; did you mean RUN_APP_MODEL?"),
        ("RUN_APP_COMPUTE=int8\n", 1, "did you mean RUN_APP_COMPUTE_TYPE?"),
        ("RUN_APP_X=1\n", 1, "nothing reads RUN_APP_X; there are RUN_APP_MODEL, DEVICE, "),
        ("MALLOC_TRIM_THRESHOLD=1\n", 1, "did you mean MALLOC_TRIM_THRESHOLD_?"),
        ("MALLOC_ARENA_MAX_=1\n", 1, "did you mean MALLOC_ARENA_MAX?"),
        ("MALLOC_ARENA_MAX=0\n", 1, "an integer from 1"),
        ("MALLOC_ARENA_MAX=4MB\n", 1, "an integer from 1"),
        ("MALLOC_ARENA_MAX=-1\n", 1, "an integer from 1"),
        ("MALLOC_ARENA_MAX=²\n", 1, "an integer from 1"),
        ("MALLOC_MMAP_THRESHOLD_=32MiB\n", 1, "an integer from 0 to 4611686018427387904"),
        ("MALLOC_PERTURB_=256\n", 1, "an integer from 0 to 255"),
        ("OMP_NUM_THREADS=all\n", 1, "an integer from 1"),
        ("OMP_NUM_THREADS=4,\n", 1, "an integer from 1"),
        ("CUDA_CACHE_MAXSIZE=4G\n", 1, "an integer from 0 to 4294967296"),
        ("CUDA_LAUNCH_BLOCKING=true\n", 1, "an integer from 0 to 1"),
        ("RUN_APP_RESIDENT=true\n", 1, "it is one of True, False"),
        ("RUN_APP_DEVICE=gpu\n", 1, "it is one of auto, cpu, cuda"),
        ("RUN_APP_COMPUTE_TYPE=fp16\n", 1, "it is one of auto"),
        ("TOKENIZERS_PARALLELISM=never\n", 1, "it is one of true, false"),
        ("GRADIO_ANALYTICS_ENABLED=false\n", 1, "it is one of True, False"),
        ("MALLOC_TRIM_THRESHOLD_=-2\n", 1, "an integer from -1"),
        ("CUDA_VISIBLE_DEVICES=0;1\n", 1, "numbers or names of cards"),
        ("CUDA_VISIBLE_DEVICES=0,,1\n", 1, "numbers or names of cards"),
        ("LD_LIBRARY_PATH=/no/such/folder\n", 1, "LD_LIBRARY_PATH holds /no/such/folder, and there is no such folder"),
        ("LD_LIBRARY_PATH=lib\n", 1, "which is not an absolute path"),
        ("LD_PRELOAD=/no/such.so\n", 1, "LD_PRELOAD holds /no/such.so, and there is no such file"),
        ("LD_PRELOAD=/tmp\n", 1, "no such file"),
        ("LD_PRELOAD=libnosuch.so.1\n", 1, "which the loader does not find; write its path"),
    ],
)
def test_a_wrong_line_is_named_with_its_mend(run_app: Run, profile: Profile, text: str, line: int, says: str) -> None:
    path = profile(text)
    message = refused(run_app, "-p", "mine")
    assert message.startswith(f"{path}:{line}: ")
    assert says in message


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("expandable_segment:True", "did you mean expandable_segments?"),
        ("foo:1", "torch knows no option 'foo'"),
        ("expandable_segments:true", "expandable_segments:true; it is one of True, False"),
        ("expandable_segments:1", "it is one of True, False"),
        ("expandable_segments", "it is one of True, False"),
        ("max_split_size_mb:20", "it is an integer of at least 21"),
        ("max_split_size_mb:512MB", "it is an integer of at least 21"),
        ("garbage_collection_threshold:1.5", "a fraction between 0 and 1"),
        ("garbage_collection_threshold:0", "a fraction between 0 and 1"),
        ("backend:cudamallocasync", "it is one of native, cudaMallocAsync"),
        ("pinned_num_register_threads:3", "it is one of 1, 2, 4, 8"),
        ("roundup_power2_divisions:3", "a power of 2"),
        ("roundup_power2_divisions:[256:1,512:x]", "a power of 2"),
        ("roundup_power2_divisions:[256:1,>:4", "roundup_power2_divisions:[256:1,>:4; it is a power of 2"),
        ("garbage_collection_threshold:1", "a fraction between 0 and 1"),
        ("garbage_collection_threshold:0.8_1", "a fraction between 0 and 1"),
        ("per_process_memory_fraction:1.01", "a fraction from 0 to 1"),
        ("large_segment_size_mb:10", "it is an integer of at least 11"),
        ("graph_capture_record_stream_reuse:1", "it is one of True, False"),
        ("expandable_segments_reserve:0", "a fraction of the card's memory or GiB"),
        ("expandable_segments_reserve:40GB", "a fraction of the card's memory or GiB"),
        ("expandable_segments_reserve_by_class:0.5", "a list of fractions or GiB by class"),
        ("expandable_segments_reserve_by_class:[small:x]", "a list of fractions or GiB by class"),
        ("max_split_size_mb:64,max_split_size_mb:128", "stands there twice"),
        ("'expandable_segments:True'x", "torch knows no option"),
    ],
)
def test_an_allocator_option_torch_would_only_refuse_on_the_card_is_refused_now(
    run_app: Run, profile: Profile, value: str, says: str
) -> None:
    name = "PYTORCH_ALLOC_CONF" if len(value) % 2 else "PYTORCH_CUDA_ALLOC_CONF"
    path = profile(f'{name}="{value}"')
    message = refused(run_app, "-p", "mine")
    assert message.startswith(f"{path}:1: {name}: ")
    assert says in message


@pytest.mark.parametrize(
    "value",
    [
        *("garbage_collection_threshold:.8", "garbage_collection_threshold:8e-1"),
        *("per_process_memory_fraction:0", "per_process_memory_fraction:1.0", "pinned_max_cached_size_mb:0"),
        *("roundup_power2_divisions:[256:0,512:2,>:4,]", "roundup_power2_divisions:8"),
        "graph_capture_record_stream_reuse:True,expandable_segments_reserve:40G",
        "expandable_segments_reserve_by_class:[small:.05,large:1.125],expandable_segments:True,",
    ],
)
def test_what_some_torch_takes_is_taken(run_app: Run, profile: Profile, value: str) -> None:
    profile(f"PYTORCH_CUDA_ALLOC_CONF={value}")
    done = run_app("-p", "mine", *STARTED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


def stand_in_torch(tmp_path: Path, version: str) -> dict[str, str]:
    """A site-packages folder in front, whose torch has this version."""
    site = tmp_path / "site-packages"
    for package in ("torch", "nvidia", "app"):
        (site / package).mkdir(parents=True, exist_ok=True)
    (site / "torch/version.py").write_text(f"__all__ = ['__version__']\n__version__ = '{version}'\n")
    (site / "app/__init__.py").touch()
    (site / "app/__main__.py").write_text("print('app started')")
    return {"PYTHONPATH": str(site)}


@pytest.mark.parametrize(
    ("option", "since"),
    [
        ("graph_capture_record_stream_reuse:True", 9),
        ("per_process_memory_fraction:0.5", 10),
        ("expandable_segments_reserve:0.5", 15),
        ("expandable_segments_reserve_by_class:[small:0.5]", 15),
    ],
)
def test_an_option_must_be_known_to_the_torch_that_will_read_it(
    run_app: Run, profile: Profile, tmp_path: Path, option: str, since: int
) -> None:
    profile(f"PYTORCH_CUDA_ALLOC_CONF={option}")
    done = run_app("-p", "mine", "transcribe", env=stand_in_torch(tmp_path, f"2.{since - 1}.0+cu128"))
    assert done.returncode == 2
    assert f"{option.partition(':')[0]} came with torch 2.{since}; this one is 2.{since - 1}" in done.stderr
    done = run_app("-p", "mine", "transcribe", env=stand_in_torch(tmp_path, f"2.{since}.1"))
    assert (done.returncode, done.stdout) == (0, "app started\n")
    # Under -- COMMAND nobody knows which torch it will be.
    assert run_app("-p", "mine", *STARTED).stdout == "started\n"


@pytest.mark.slow
def test_the_options_are_those_of_torch_itself() -> None:
    """Torch's own parser, which needs no card, is asked about every value our check is.

    TORCH_PYTHON=/a/venv/bin/python holds the tables against another torch.
    """
    from launcher.allocator import INTEGERS, OPTIONS, wrong_option

    values = ["", ",", "expandable_segments:True,", "expandable_segments:True,,", " max_split_size_mb : 64 ", "foo:1"]
    settings = "True False true 0 1 2 3 10 11 20 21 64 128 256 0.5 .8 8e-1 1.0 1.5 -1 0.8x x 40G native".split()
    settings += "[256:1,512:2,>:4] [256:0,] [256:3] [256] [256:1 [a:0.5,b:40G]".split()
    values += [f"{option}:{setting}" for option in OPTIONS for setting in settings]
    program = """if True:
        import json, sys, torch
        verdicts = [torch.__version__]
        for value in json.load(sys.stdin):
            try:
                torch.cuda.memory._set_allocator_settings(value)
                verdicts.append("")
            except (RuntimeError, ValueError) as error:
                verdicts.append(str(error).splitlines()[0])
        print(json.dumps(verdicts))
    """
    words = [os.environ.get("TORCH_PYTHON", PYTHON), "-c", program]
    done = subprocess.run(words, input=json.dumps(values), capture_output=True, text=True)
    if "No module named 'torch'" in done.stderr:
        pytest.skip("torch is not installed")
    version, *verdicts = json.loads(done.stdout)
    major, minor = version.split(".")[:2]
    # Stricter is right: torch reads a number as far as it can, 0.8x as 0.8, and where an integer is due 8e-1 as 8 and
    # -1 as a very large one; of a reserve it cannot read it only warns.
    loose = {(option, "0.8x") for option in OPTIONS}
    whole = (*INTEGERS, "pinned_num_register_threads", "roundup_power2_divisions")
    loose |= {(option, setting) for option in whole for setting in "0.5 1.0 1.5 8e-1 -1 20 40G".split()}
    for value, theirs in zip(values, verdicts, strict=True):
        ours = wrong_option("X", value, (int(major), int(minor)))
        option, _, setting = value.partition(":")
        if ours and not theirs and ((option, setting) in loose or option.startswith("expandable_segments_reserve")):
            continue
        assert bool(ours) == bool(theirs), (version, value, ours, theirs)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"A=1\nB=a\0b\n", ":2: a NUL byte"),
        (b"A=1\n\nB=caf\xe9\n", ":3: byte 0xe9 is not UTF-8"),
        (b"\xff\xfeA\0=\0", ":1: a NUL byte"),
        (b"A=" + b"x" * 10_000_000, ": 10000002 bytes; a profile has at most 65536"),
        (b"#\r\n" * 200_000, ": 600000 bytes; a profile has at most 65536"),
    ],
    ids=["NUL", "Latin-1", "UTF-16", "10 MB", "200,000 lines"],
)
def test_bytes_that_are_no_text_are_refused(run_app: Run, profile: Profile, data: bytes, says: str) -> None:
    path = profile(data)
    assert refused(run_app, "-p", "mine").startswith(f"{path}{says}")


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfA=1\nB='2'\n",
        b"A=1\r\nB=2\r\n",
        b"A=1\rB=2\r",
        b'\n \n#x\nexport A=1 # one\nB = "2"\n',
        b"A=1\nB=2",
    ],
    ids=["BOM", "CRLF", "CR", "export and comments", "no newline at the end"],
)
def test_what_editors_write_is_read(run_app: Run, profile: Profile, data: bytes) -> None:
    profile(data)
    done = run_app("-p", "mine", "--", "sh", "-c", "echo $A $B")
    assert (done.stdout, done.stderr) == ("1 2\n", "")


def test_a_library_the_loader_knows_may_be_named_without_its_path(run_app: Run, profile: Profile) -> None:
    profile("LD_PRELOAD=libdl.so.2")
    done = run_app("-p", "mine", "--", "sh", "-c", "echo $LD_PRELOAD")
    assert (done.stdout, done.stderr) == ("libdl.so.2\n", "")


def test_an_empty_profile_is_valid_and_says_so(run_app: Run, profile: Profile) -> None:
    for text in ("", "# nothing yet\n"):
        path = profile(text)
        done = run_app("-p", "mine", *STARTED)
        assert (done.stdout, done.stderr) == ("started\n", f"run-app: {path} sets nothing\n")


def test_what_is_no_file_is_refused_and_never_waited_for(run_app: Run, profile: Profile, tmp_path: Path) -> None:
    fifo, folder, dangling = tmp_path / "fifo.env", tmp_path / "folder.env", tmp_path / "dangling.env"
    os.mkfifo(fifo)
    folder.mkdir()
    dangling.symlink_to("nowhere")
    assert refused(run_app, "-p", "./fifo.env") == f"{fifo}: not a file; a profile is a file of NAME=value lines"
    assert refused(run_app, "-p", "cpu", "--env-file", "folder.env").startswith(f"{folder}: not a file")
    assert refused(run_app, "-p", "./dangling.env") == f"{dangling}: No such file or directory"
    profile("X=1").unlink()
    local = tmp_path / "config/run-app/local.env"
    local.mkdir()
    assert refused(run_app, "-p", "cpu").startswith(f"{local}: not a file")


def test_a_file_others_may_rewrite_is_refused_or_warned_of(run_app: Run, profile: Profile) -> None:
    path = profile("X=1")
    path.chmod(0o646)
    assert refused(run_app, "-p", "mine") == f"{path}: anyone may write to it; chmod o-w {path}"
    path.chmod(0o664)
    done = run_app("-p", "mine", *STARTED)
    assert (done.stdout, done.stderr) == (
        "started\n",
        f"run-app: {path}: its group may write to it; chmod g-w {path}\n",
    )


def test_on_a_windows_drive_where_every_file_shows_0777_it_is_a_warning(
    run_app: Run, profile: Profile, tmp_path: Path
) -> None:
    path = profile("X=1")
    path.chmod(0o777)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sdc / ext4 rw 0 0\nC:\\134 {tmp_path} 9p rw 0 0\n")
    driver = (
        "import os, sys, launcher.hardware as h;" + ON_WSL + "h.MOUNTS = sys.argv.pop(1);"
        "from launcher.cli import entry; sys.exit(entry())"
    )
    words = ("-p", "mine", *STARTED)
    done = run_app("-p", "cpu", "--", PYTHON, "-c", driver, str(mounts), *words)
    assert done.stdout == "started\n"
    assert f"{path}: on a Windows drive anyone may write to it" in done.stderr
    mounts.write_text("/dev/sdc / ext4 rw 0 0\n")
    assert run_app("-p", "cpu", "--", PYTHON, "-c", driver, str(mounts), *words).returncode == 2


def test_a_windows_drive_is_known_through_a_link_and_by_a_name_with_a_blank(tmp_path: Path) -> None:
    drive, disk = tmp_path / "my drive", tmp_path / "disk"
    drive.mkdir()
    disk.mkdir()
    (tmp_path / "link").symlink_to(drive)
    (drive / "back").symlink_to(disk)
    escaped = str(drive).replace(" ", "\\040")
    lines = ["/dev/sdc / ext4 rw 0 0", f"C:\\134 {escaped} 9p rw 0 0"]
    ask = (
        "import os, sys, launcher.hardware as h;" + ON_WSL + "h.MOUNTS = sys.argv[1];"
        "print(*map(h.on_windows_drive, sys.argv[2:]))"
    )

    def answers(*mounts: str) -> str:
        (tmp_path / "mounts").write_text("".join(f"{line}\n" for line in mounts))
        paths = [drive / "x.env", tmp_path / "link/x.env", drive / "back/x.env", f"{drive}s/x.env"]
        words = [PYTHON, "-c", ask, str(tmp_path / "mounts"), *map(str, paths)]
        return subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert answers(*lines) == "True True False False\n"
    # What is mounted last over one folder is what one sees there.
    assert answers(*lines, f"/dev/sdd {escaped} ext4 rw 0 0") == "False False False False\n"


def test_a_setting_of_the_app_must_be_one_it_reads(run_app: Run, tmp_path: Path) -> None:
    assert refused(run_app, "-p", "cpu", "--set", "RUN_APP_MODLE=x").startswith("--set: nothing reads RUN_APP_MODLE;")
    (tmp_path / "x.env").write_text("A=1\nRUN_APP_SHIM=cpu\n")
    assert refused(run_app, "-p", "cpu", "--env-file", "x.env").startswith(f"{tmp_path}/x.env:2: nothing reads")
    # What is only inherited may be another program's.
    done = run_app("-p", "cpu", "--", "sh", "-c", "echo $RUN_APP_MODLE", env={"RUN_APP_MODLE": "x"})
    assert (done.stdout, done.stderr) == ("x\n", "")
    assert run_app("-p", "cpu", "--unset", "RUN_APP_MODLE", *STARTED, env={"RUN_APP_MODLE": "x"}).returncode == 0


def test_whatever_the_app_reads_may_be_set() -> None:
    from app.settings import Settings
    from launcher.checks import SETTINGS

    assert {field.name.upper() for field in fields(Settings)} - {"THREADS"} <= set(SETTINGS)


def test_an_empty_list_of_the_loader_is_said_to_do_nothing(run_app: Run, profile: Profile) -> None:
    path = profile("LD_LIBRARY_PATH=\n")
    done = run_app("-p", "mine", "--", "sh", "-c", "echo $LD_LIBRARY_PATH", env={"LD_LIBRARY_PATH": "/usr/lib"})
    assert done.stdout == "/usr/lib\n"
    assert done.stderr == (
        f"run-app: {path}:1: LD_LIBRARY_PATH is empty and adds nothing to what is inherited; "
        "--unset LD_LIBRARY_PATH removes that\n"
    )


def test_no_part_of_a_secret_is_in_an_error(run_app: Run, profile: Profile) -> None:
    for text in ("hunter2\n", "MY_TOKEN=${hunter2:+x}\n", "MY_TOKEN='hunter2\n", "MY_KEY=$hunter2\n"):
        profile(text)
        assert "hunter2" not in run_app("-p", "mine", *STARTED).stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_ARENA_MAX", "${HF_TOKEN}"),
        ("LD_LIBRARY_PATH", "/${HF_TOKEN}"),
        ("PYTORCH_CUDA_ALLOC_CONF", "${HF_TOKEN}"),
        ("CUDA_VISIBLE_DEVICES", "0,${URL}"),
        ("RUN_APP_DEVICE", "${OLD}"),
    ],
)
def test_a_secret_that_made_a_value_wrong_is_not_quoted(
    run_app: Run, profile: Profile, tmp_path: Path, name: str, value: str
) -> None:
    """Nor a part of it, where the reader of the value takes it apart."""
    (tmp_path / "first.env").write_text("OLD=${HF_TOKEN}\n")
    path = profile(f"HF_TOKEN=hunter2:hunter3,hunter4\nURL=https://${{HF_TOKEN}}@hub\n{name}={value}\n")
    message = refused(run_app, "-p", "./first.env,mine", HF_TOKEN="old-hunter1:part")
    assert message.startswith(f"{path}:3: {name}")
    assert "***" in message
    assert "hunter" not in message


def test_a_secret_is_in_no_note_either(run_app: Run, profile: Profile) -> None:
    profile("A=1")
    done = run_app("-p", "mine", *STARTED, env={"HF_TOKEN": "hunter2", "MALLOC_ARENA_MAX": "hunter2"})
    assert (done.stdout, "hunter2" in done.stderr) == ("started\n", False)
    assert "inherited MALLOC_ARENA_MAX=***: " in done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("A=$HOME/x", "$HOME in A is taken literally; ${HOME} is expanded"),
        ("A=$(date)", "$( in A is taken literally; no shell reads this file"),
        ("A=`date`", "` in A is taken literally; no shell reads this file"),
        ("A=~/x", "~ in A is taken literally; ${HOME} is expanded"),
        ("A=/bin:~/x", "~ in A is taken literally; ${HOME} is expanded"),
        ("export A=1; export B=2", "; export in A is taken literally; one NAME=value a line"),
        ("A=1;B=2", ";B= in A is taken literally; one NAME=value a line"),
        ("A=1;2~3~/$5", ""),
        ("A_TOKEN=`date`", ""),
    ],
)
def test_what_only_a_shell_would_expand_is_literal_and_said(
    run_app: Run, profile: Profile, line: str, says: str
) -> None:
    path = profile(f"{line}\n")
    done = run_app("-p", "mine", "--", "sh", "-c", 'echo "$A$A_TOKEN"')
    assert done.stdout == line.removeprefix("export ").partition("=")[2] + "\n"
    assert done.stderr == (f"run-app: {path}:1: {says}\n" if says else "")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CUDA_VISIBLE_DEVICE", "CUDA_VISIBLE_DEVICES"),
        ("PYTORCH_CUDA_ALLOC_CONFIG", "PYTORCH_CUDA_ALLOC_CONF"),
        ("OMP_NUM_THREAD", "OMP_NUM_THREADS"),
        ("HF_HUB_OFLINE", "HF_HUB_OFFLINE"),
        ("MALLOC_ARENAS_MAX", "MALLOC_ARENA_MAX"),
        ("CUDA_OF_MY_OWN", ""),
        ("HF_HOME", ""),
        ("XOMP_NUM_THREAD", ""),
    ],
)
def test_a_name_that_is_only_like_a_known_one_is_warned_of(
    run_app: Run, profile: Profile, name: str, meant: str
) -> None:
    path = profile(f"{name}=1\n")
    done = run_app("-p", "mine", *STARTED)
    assert done.stdout == "started\n"
    says = f"run-app: {path}:1: nothing well known reads {name}; did you mean {meant}?\n"
    assert done.stderr == (says if meant else "")


def test_more_threads_than_cores_are_lowered_and_said(run_app: Run, profile: Profile) -> None:
    cores = len(os.sched_getaffinity(0))
    show = ("--", "sh", "-c", "echo $OMP_NUM_THREADS")
    path = profile(f"OMP_NUM_THREADS={cores + 1}")
    done = run_app("-p", "mine", *show)
    assert done.stdout == f"{cores}\n"
    assert done.stderr == f"run-app: {path}:1: OMP_NUM_THREADS={cores + 1} lowered to this machine's {cores} cores\n"
    assert run_app("-p", "mine", "--set", "OMP_NUM_THREADS=64", *show).stdout == "64\n"
    profile(f"OMP_NUM_THREADS={cores},1")
    assert run_app("-p", "mine", *show).stdout == f"{cores},1\n"
    profile("OMP_NUM_THREADS=4096,1,4095")
    done = run_app("-p", "mine", *show)
    assert done.stdout == f"{cores},1,{cores}\n"
    assert f"OMP_NUM_THREADS=4096,1,4095 lowered to this machine's {cores} cores" in done.stderr


def test_the_shipped_number_of_threads_is_lowered_without_a_word(run_app: Run, home: dict[str, str]) -> None:
    words = [
        "taskset",
        "-c",
        str(min(os.sched_getaffinity(0))),
        *RUN_APP,
        "-p",
        "wsl",
        "--",
        "printenv",
        "OMP_NUM_THREADS",
    ]
    done = run_app(args=words)
    assert done.stdout == "1\n"
    assert "OMP_NUM_THREADS" not in done.stderr


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"MALLOC_TRIM_THRESHOLD_": "100000"}, "MALLOC_TRIM_THRESHOLD_ without MALLOC_MMAP_THRESHOLD_"),
        ({"MALLOC_ARENA_MAX": "four"}, "inherited MALLOC_ARENA_MAX=four: it is an integer from 1"),
        ({"PYTORCH_CUDA_ALLOC_CONF": "foo:1"}, "inherited PYTORCH_CUDA_ALLOC_CONF: torch knows no option 'foo'"),
        ({"CUDA_LAUNCH_BLOCKING": "1"}, "CUDA_LAUNCH_BLOCKING=1 makes every kernel wait"),
        ({"LD_LIBRARY_PATH": "/usr/lib:"}, "inherited LD_LIBRARY_PATH has an empty entry"),
        (
            {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1", "MALLOC_ARENA_MAX": "2"},
            "GLIBC_TUNABLES and MALLOC_* are both set",
        ),
        (
            {"PYTORCH_ALLOC_CONF": "backend:native", "PYTORCH_CUDA_ALLOC_CONF": "backend:native"},
            "PYTORCH_CUDA_ALLOC_CONF and PYTORCH_ALLOC_CONF are both set",
        ),
    ],
)
def test_known_harm_is_warned_of_even_if_only_inherited(run_app: Run, env: dict[str, str], says: str) -> None:
    done = run_app("-p", "cpu", *STARTED, env=env)
    assert done.stdout == "started\n"
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_torch_that_does_not_read_the_new_name_is_warned_of(run_app: Run, tmp_path: Path) -> None:
    env = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    done = run_app("-p", "cpu", "transcribe", env=env | stand_in_torch(tmp_path, "2.9.1"))
    assert "torch 2.9 does not read PYTORCH_ALLOC_CONF; set PYTORCH_CUDA_ALLOC_CONF" in done.stderr
    done = run_app("-p", "cpu", "transcribe", env=env | stand_in_torch(tmp_path, "2.10.0"))
    assert done.stderr == ""
    # Nobody knows the torch of a command.
    says = "torch before 2.10 does not read PYTORCH_ALLOC_CONF; set PYTORCH_CUDA_ALLOC_CONF"
    assert says in run_app("-p", "cpu", *STARTED, env=env).stderr
    both = env | {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    assert "before 2.10" not in run_app("-p", "cpu", *STARTED, env=both).stderr


def test_expandable_segments_under_wsl_is_warned_of_and_profile_wsl_takes_it_out(run_app: Run) -> None:
    driver = "import os, sys;" + ON_WSL + "from launcher.cli import entry; sys.exit(entry())"
    start = ("-p", "cpu", "--", PYTHON, "-c", driver)
    show = ("--", "sh", "-c", "echo $PYTORCH_CUDA_ALLOC_CONF")
    assert "expandable_segments:True can fail under WSL2" in run_app(*start, "-p", "gpu48", *show).stderr
    done = run_app(*start, "-p", "gpu48,wsl", *show)
    assert "can fail under WSL2" not in done.stderr
    assert done.stdout == "max_split_size_mb:384,garbage_collection_threshold:0.8\n"


def test_what_is_not_installed_under_site_packages_is_left_out_with_a_note(
    run_app: Run, profile: Profile, tmp_path: Path
) -> None:
    env = stand_in_torch(tmp_path, "2.8.0")
    site = env["PYTHONPATH"]
    there = Path(site) / "nvidia/cublas/lib"
    there.mkdir(parents=True)
    path = profile("LD_LIBRARY_PATH=${SITE_PACKAGES}/nvidia/cublas/lib:${SITE_PACKAGES}/nvidia/cudnn/lib")
    done = run_app("-p", "mine", "--", "sh", "-c", "echo $LD_LIBRARY_PATH", env=env)
    assert done.stdout == f"{there}\n"
    assert done.stderr == f"run-app: {path}:1: not installed, so left out of LD_LIBRARY_PATH: {site}/nvidia/cudnn/lib\n"
    there.rmdir()
    done = run_app("-p", "mine", "--", "sh", "-c", "echo ${LD_LIBRARY_PATH-unset}", env=env)
    assert done.stdout == "unset\n"


def test_cublas_and_cudnn_open_before_any_import_of_torch(run_app: Run) -> None:
    site = Path(os.__file__).parent
    program = "import ctypes; ctypes.CDLL('libcublas.so.12'); ctypes.CDLL('libcudnn_ops.so.9')"
    done = run_app("-p", "gpu", "--", PYTHON, "-c", program)
    if "not installed" in done.stderr:
        pytest.skip("the nvidia wheels are not installed")
    assert (done.returncode, done.stderr) == (0, ""), site
    assert run_app("-p", "cpu", "--", PYTHON, "-c", program).returncode != 0


@pytest.mark.parametrize("name", ["base", "cpu", "gpu", "gpu48", "blackwell96", "wsl"])
def test_a_shipped_profile_starts_and_every_setting_has_its_own_comment(run_app: Run, name: str) -> None:
    assert run_app("-p", name, *STARTED).stdout == "started\n"
    title, *blocks = (ROOT / "env" / f"{name}.env").read_text().rstrip("\n").split("\n\n")
    assert title.startswith(f"# {name}: ")
    for block in blocks:
        *comment, setting = block.split("\n")
        heads = [line[2:10] for line in comment if line[2:3] != " "]
        assert heads == ["What:   ", "Read:   ", "Seen by:"], block
        assert all(line.startswith("# ") and len(line) > len("# Seen by: ") for line in comment), block
        assert not setting.startswith("#"), block
        assert not setting.startswith("HF_HUB_OFFLINE")
