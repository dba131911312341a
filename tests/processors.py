"""Runs the tests marked ``trained`` as if on other processors: one line for each says how they went.

    python tests/processors.py [what pytest takes]

What a training reaches, and its bits, hang from how sums are rounded, and that from the processor: its widest vectors,
how many threads share a sum, and whose libraries multiply. Each setting makes torch, oneDNN, MKL, OpenBLAS and numpy
take the instructions of one kind of processor, where they would else take the widest that this one has. A setting that
this processor lacks is skipped and named. Ends with 1 if a setting failed.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

MARKED = "trained and not slow and not gpu and not cluster"
WIDTHS = ("DEFAULT", "AVX2", "AVX512")  # what torch calls the instructions, from the narrowest
NUMPYS = {"DEFAULT": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR", "AVX2": "X86_V4 AVX512_ICL AVX512_SPR", "AVX512": ""}
OTHERS = ("ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "OPENBLAS_CORETYPE")


class Setting(NamedTuple):
    """A kind of processor: the widest instructions that torch takes, what the other libraries do, and threads."""

    name: str
    width: str | None
    threads: int = 1
    others: tuple[str, ...] = ()  # values of OTHERS


SETTINGS = [
    Setting("the narrowest vectors", "DEFAULT", 1, ("SSE41", "COMPATIBLE", "Nehalem")),
    Setting("AVX2", "AVX2", 1, ("AVX2", "AVX2", "Haswell")),
    Setting("AVX-512", "AVX512"),
    Setting("as it is, with two threads", None, 2),
]


def asked(code: str, environment: dict[str, str]) -> str:
    """What a line of Python prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def environment_of(setting: Setting) -> dict[str, str]:
    """What the variables have to say, whatever a shell says already."""
    ours = {"ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES", *OTHERS}
    found = {name: value for name, value in os.environ.items() if name not in ours}
    found |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(setting.threads))
    if setting.width is not None:
        found["ATEN_CPU_CAPABILITY"] = setting.width.lower()
        found |= dict(zip(OTHERS, setting.others, strict=False))
        # numpy refuses the name of what it does not know, and of what it was built to need.
        there = asked("import numpy as np; print(*np.show_config('dicts')['SIMD Extensions']['found'])", found).split()
        if without := [name for name in NUMPYS[setting.width].split() if name in there]:
            found["NPY_DISABLE_CPU_FEATURES"] = " ".join(without)
    return found


def lacking(setting: Setting, widest: str, cores: int) -> str:
    """Why this processor cannot do as a setting says; nothing where it can."""
    if setting.threads > cores:
        return f"there is {cores} core"
    if setting.width is None:
        return ""
    if widest not in WIDTHS:
        return f"torch takes {widest} here, and none of {', '.join(WIDTHS)}"
    if WIDTHS.index(setting.width) > WIDTHS.index(widest):
        return f"the widest that this processor has is {widest}"
    return ""


def main(arguments: list[str]) -> int:
    """0 where no setting failed, else 1."""
    capability = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    plain = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
    widest, cores, failed = asked(capability, plain), os.cpu_count() or 1, 0
    for setting in SETTINGS:
        if missing := lacking(setting, widest, cores):
            print(f"{setting.name}: skipped, because {missing}", flush=True)
            continue
        begin, environment = time.monotonic(), environment_of(setting)
        if setting.width and (found := asked(capability, environment)) != setting.width:
            print(f"{setting.name}: failed: torch takes {found} and not {setting.width}", flush=True)
            failed += 1
            continue
        workers = ["-n", str(cores // setting.threads), "--dist", "loadfile"] if cores > setting.threads else []
        command = [sys.executable, "-m", "pytest", "-q", "-m", MARKED, *workers, *arguments]
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said = done.stdout.decode(errors="replace")
        counts = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", said.splitlines()[-1] if said else "")
        outcome = "passed" if done.returncode == 0 else "failed"
        print(f"{setting.name}: {outcome} ({', '.join(counts)}; {time.monotonic() - begin:.0f} s)", flush=True)
        if done.returncode:
            failed += 1
            print(said, file=sys.stderr, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
