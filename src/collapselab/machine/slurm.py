"""Whether a cluster with Slurm does what the workflow needs of it: asked of Slurm, and of a small job on a node.

Each line of :func:`examine` is what was looked at, what was found, a fault (empty where there is none), and advice
(likewise): a fault is what stops a study, advice what costs time or is worth knowing.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
WAIT_S = 300  # for the small job, of which most is the queue
CLOCK_S = 5.0  # that clocks may differ: dates of files decide what was made after what
FREE_GB = 2.0  # of scratch on a node
SUBMITS_S = 90.0  # for sbatch to say whether it takes a job
LOOKS = 3  # times the seconds until the first look: so long has Slurm to remember a job that has ended
FOLDER = Path(".snakemake/doctor")
OPTIONS = {  # default resources of a profile -> how sbatch is told
    "slurm_account": "--account",
    "slurm_partition": "--partition",
    "constraint": "--constraint",
    "qos": "--qos",
}
PROBE = """
import fcntl, json, os, shutil, socket, subprocess, sys, tempfile, time
found = {"host": socket.gethostname(), "time": time.time(), "python": sys.executable, "cpus": os.cpu_count()}
with open(sys.argv[1] + "/lock", "rb+") as stream:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found["lock"] = "free"
    except BlockingIOError:
        found["lock"] = "held"
    except OSError as error:
        found["lock"] = error.strerror
found["seen"] = open(sys.argv[1] + "/written").read() if os.path.exists(sys.argv[1] + "/written") else ""
found["scratch"] = tempfile.gettempdir()
try:
    found["scratch_gb"] = shutil.disk_usage(found["scratch"]).free / 2**30
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
except OSError as error:
    found["scratch_error"] = error.strerror
found["visible"] = os.environ.get("CUDA_VISIBLE_DEVICES", "")
try:
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60)
    found["gpus"] = [line.split(" (")[0] for line in done.stdout.splitlines() if line.startswith("GPU ")]
except (OSError, subprocess.SubprocessError) as error:
    found["gpus"], found["gpu_error"] = [], str(error)
try:
    import collapselab
    found["package"] = os.path.dirname(collapselab.__file__)
except ImportError as error:
    found["package"], found["package_error"] = "", str(error)
with open(sys.argv[1] + "/found.tmp", "w") as stream:
    json.dump(found, stream)
os.replace(sys.argv[1] + "/found.tmp", sys.argv[1] + "/found.json")
"""


class Line(NamedTuple):
    """What was looked at, what was found, what is wrong, and what is worth knowing."""

    what: str
    found: str
    fault: str = ""
    advice: str = ""


def examine(profile: Mapping[str, Any], gres: str, wait_s: float = WAIT_S) -> Iterator[Line]:
    """What was found of this cluster. profile: the workflow's, as a mapping. gres: what a job with a GPU asks for."""
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    untold = "not found" if lacking else "installed; it does not tell its version"
    yield Line("Slurm", _said("sinfo", "--version") or untold, _no_programs(lacking))
    if lacking:
        return
    yield Line(
        "configuration", os.environ.get("SLURM_CONF", "where Slurm looks by itself"), advice=_of_conf(os.environ)
    )
    yield from _partitions(profile)
    yield from asking(
        profile, _said("scontrol", "show", "config"), bool(_said("sacct", "-n", "-X", "--starttime", "now"))
    )
    yield _links()
    yield from _submission(profile, gres, wait_s)


def _no_programs(lacking: list[str]) -> str:
    if not lacking:
        return ""
    return f"{', '.join(lacking)} are not on the PATH; run this on the login node of the cluster, or load its module"


def _of_conf(environment: Mapping[str, str]) -> str:
    if "SLURM_CONF" not in environment:
        return ""
    return "SLURM_CONF does not reach the jobs' own srun; the file has to be at /etc/slurm/slurm.conf on the nodes, too"


def _said(*command: str, timeout_s: float = 60) -> str:
    """What a command says; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if not done.returncode else ""


def _works(*command: str) -> bool:
    """Whether a command ends well."""
    try:
        return not subprocess.run(command, capture_output=True, timeout=60).returncode
    except (OSError, subprocess.SubprocessError):
        return False


def _partitions(profile: Mapping[str, Any]) -> Iterator[Line]:
    rows = [line.split("|") for line in _said("sinfo", "-h", "-o", "%P|%l|%D|%a|%G").splitlines()]
    names = [row[0].rstrip("*") for row in rows]
    wanted = str(_default(profile, "slurm_partition")).strip("'\"")
    fault = "" if rows else "none answers: is the controller up?"
    if rows and wanted and wanted not in names:
        fault = f"the profile asks for {wanted!r}, which is none of them"
    shown = "; ".join(f"{row[0]} up to {row[1]}, {row[2]} nodes, {row[4]}" for row in rows)
    is_default = not rows or any(row[0].endswith("*") for row in rows)
    advice = "" if wanted or is_default else "none is the default: say slurm_partition"
    yield Line("partitions", shown or "none", fault, advice)


def asking(profile: Mapping[str, Any], config: str, accounting: bool) -> Iterator[Line]:
    """How jobs are asked after: by the profile's command, as the controller's configuration allows it."""
    command = str(profile.get("slurm-status-command", "sacct"))
    if not config:
        yield Line("status command", f"{command}; whether it suits, nobody can say: scontrol show config says nothing")
        return
    first = int(profile.get("slurm-init-seconds-before-status-checks", 40))
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", config, re.MULTILINE)
    storage = re.search(r"^AccountingStorageType\s*=\s*(\S+)", config, re.MULTILINE)
    kept_s = int(age[1]) if age else 0
    has = bool(storage and not storage[1].endswith("/none")) and accounting
    fault = ""
    if command == "sacct" and not has:
        fault = "there is no accounting that sacct could ask: set slurm-status-command: squeue, or nothing ever ends"
    if command == "squeue" and kept_s < LOOKS * first:
        seconds = max(1, kept_s // LOOKS)
        other = "sacct" if has else f"slurm-init-seconds-before-status-checks: {seconds}"
        fault = f"Slurm forgets a job {kept_s} s after its end, before it is asked after: say {other} in the profile"
    yield Line("status command", f"{command}; Slurm remembers jobs for {kept_s} s", fault)
    advice = (
        "" if has else "without it nobody says afterwards how much a job took, and slurm-efficiency-report is empty"
    )
    yield Line("accounting", storage[1] if storage else "not told", advice=advice)


def _links() -> Line:
    """Whether the file system has hard links, by which what is whole is kept."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    one, other = FOLDER / "one", FOLDER / "other"
    try:
        one.write_text("x")
        other.unlink(missing_ok=True)
        os.link(one, other)
        return Line("hard links", "yes")
    except OSError as error:
        return Line(
            "hard links", error.strerror or "no", advice="a training whose job fails at its very end is made again"
        )
    finally:
        for path in (one, other):
            path.unlink(missing_ok=True)


def _default(profile: Mapping[str, Any], key: str) -> Any:
    """A default resource of the profile."""
    found = profile.get("default-resources") or {}
    if not isinstance(found, Mapping):  # a profile may also list them as the command line has them: key=value
        found = dict(str(one).partition("=")[::2] for one in found)
    return found.get(key, "")


def _submission(profile: Mapping[str, Any], gres: str, wait_s: float) -> Iterator[Line]:
    """What a small job finds on a node, which asks for what a training asks for."""
    for name in ("found.json", "lock", "written", "log"):
        (FOLDER / name).unlink(missing_ok=True)
    script = FOLDER / "probe.py"
    script.write_text(PROBE, encoding="utf-8")
    with open(FOLDER / "lock", "wb") as stream:
        with contextlib.suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (FOLDER / "written").write_text("by the login node")
        command = ["sbatch", "--parsable", "--job-name", "collapselab-doctor", "--time", "5", "--mem", "1000"]
        command += ["--output", str(FOLDER / "log"), *(["--gres", gres] if gres else [])]
        for key, option in OPTIONS.items():
            value = str(_default(profile, key)).strip("'\"")
            command += [option, value] if value else []
        number, said = _submitted(*command, "--wrap", f"{sys.executable} {script} {FOLDER}")
        if not number:
            yield Line("submission", "refused", refused(said, gres))
            return
        begin = time.time()
        found = _awaited(number, wait_s)
    if found is None:
        yield Line("submission", f"job {number} did not end", _why(number, gres))
        return
    yield Line("submission", f"job {number} ran on {found['host']} after {time.time() - begin:.0f} s")
    yield from found_there(found, begin, gres)


def _submitted(*command: str) -> tuple[str, str]:
    """The number of a job that was submitted, empty where it was not; and what sbatch says."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SUBMITS_S)
    except subprocess.TimeoutExpired:
        return "", f"sbatch does not answer within {SUBMITS_S:.0f} s"
    number = done.stdout.strip().split(";")[0]
    return number if not done.returncode and number.isdigit() else "", " ".join(done.stderr.split())


def refused(said: str, gres: str) -> str:
    """Why a job was refused, with what to ask for where it is about what was asked for."""
    about = re.search("gres|generic|resource|node configuration", said, re.IGNORECASE)
    other = f"; COLLAPSELAB_GRES says what to ask for in place of {gres}, and may be empty" if gres and about else ""
    return (said[:300] or "sbatch says nothing") + other


def _awaited(number: str, wait_s: float) -> dict[str, Any] | None:
    """What the small job wrote; None where it wrote nothing in time, and is cancelled."""
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError):
            os.listdir(FOLDER)  # so that a file system that remembers looks again
            return json.loads((FOLDER / "found.json").read_text(encoding="utf-8"))
        if not _said("squeue", "-h", "--states=PENDING,CONFIGURING,RUNNING,COMPLETING", "-j", number, "-o", "%i"):
            time.sleep(5)  # it may be over before its file is seen
            with contextlib.suppress(OSError, ValueError):
                return json.loads((FOLDER / "found.json").read_text(encoding="utf-8"))
            return None
        time.sleep(1)
    return None


def _why(number: str, gres: str) -> str:
    waits = _said("squeue", "-h", "-j", number, "-o", "%T %r")
    _said("scancel", number)
    if waits.startswith("PENDING"):
        asked = f"; it asked for gres {gres}" if gres else ""
        return f"it waits in the queue: {waits.partition(' ')[2]}{asked}. It was cancelled; try again when it is quiet"
    with contextlib.suppress(OSError):
        log = " ".join((FOLDER / "log").read_text(encoding="utf-8", errors="replace").split())
        return f"it failed: {log[-300:] or 'and said nothing'}"
    return f"it failed, and {FOLDER / 'log'} cannot be seen from here: is this folder shared with the nodes?"


def found_there(found: Mapping[str, Any], begin: float, gres: str) -> Iterator[Line]:
    """What a job on a node says of it, beside this machine. begin: when it was submitted, by this clock."""
    package = found.get("package") or found.get("package_error", "")
    lost = "" if found.get("package") else "the package is not found there: is the environment on a shared file system?"
    yield Line("environment", package, lost)
    gpus, visible = found.get("gpus", []), found.get("visible", "")
    shown = ", ".join(gpus) or (f"CUDA_VISIBLE_DEVICES={visible}, and none that nvidia-smi sees" if visible else "none")
    advice = f"asked for {gres}, and no driver on the node shows one: trainings would run on its CPU" if gres else ""
    fault = f"asked for {gres} and was given none" if gres and not (gpus or visible) else ""
    yield Line("GPU", shown, fault, "" if gpus or fault else advice)
    free = found.get("scratch_gb", 0.0)
    broken = f"cannot be written: {found['scratch_error']}" if "scratch_error" in found else ""
    full = f"needs {FREE_GB} GB; set TMPDIR to another folder" if free < FREE_GB else ""
    yield Line("scratch", f"{found.get('scratch')}, {free:.1f} GB free", broken or full)
    early, late = begin - CLOCK_S, time.time() + CLOCK_S
    apart = found["time"] - begin if found["time"] < early else max(0.0, found["time"] - time.time())
    wrong = "" if early <= found["time"] <= late else "the node's clock is another: ask the site for NTP"
    yield Line("clock", f"{abs(apart):.0f} s apart" if wrong else "as here", wrong)
    held = found.get("lock")
    fault = {
        "held": "",
        "free": "a lock that is held here is free there: two drivers could train the same model twice; never run two",
    }.get(str(held), f"the file system has no locks ({held}): never run two drivers on one study")
    yield Line("locks", "hold over nodes" if held == "held" else str(held), "", fault)
    seen = "" if found.get("seen") else "a file written here was not there yet: raise latency-wait in the profile"
    yield Line("shared files", "seen at once" if not seen else "late", "", seen)
