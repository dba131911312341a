"""A study in which people judge, from one end to the other, with simulated judges in their place.

Snakemake runs until it waits for people; the page is served; the judges come by their links over HTTP, judge what there
is to judge, and answer the survey at the end; each round is closed, and snakemake goes on, until the report is there.
The study says which judges come (`people: {simulated: ...}`). Everything lies below the folder in which this is called.
"""

import argparse
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from collapselab.cli.run import EXIT_WAITING
from collapselab.judge.visits import links_of
from collapselab.study import find
from collapselab.study.judged import Waits, arms_of_people, waiting

POLL_S = 0.5
PATIENCE_S = 120.0  # for the server to start, and for it to open a round


def call(*words: str, quiet: bool = False) -> str:
    """Run collapselab; what it prints. Ends this process where it fails."""
    done = subprocess.run(["collapselab", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"collapselab {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    if not quiet:
        print(f"$ collapselab {' '.join(words)}\n{done.stdout}", end="", flush=True)
    return done.stdout


def run(study: str, cores: int) -> bool:
    """Run the workflow; whether it is at its end. Ends this process where it fails, and does not only wait."""
    command = ["snakemake", "--config", f"study={study}", "--cores", str(cores)]
    print(f"$ {' '.join(command)}", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and failed(done.stderr) != {"ballots"}:
        sys.exit(f"it ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return not done.returncode


def failed(told: str) -> set[str]:
    """The rules whose jobs failed or wait, by Snakemake's own account, or by that of the profile in this folder."""
    return set(re.findall(r"^(?:Error in rule|FAILED:|WAITS:) (\w+)", told, re.MULTILINE))


@contextlib.contextmanager
def served(study: str, port: int) -> Iterator[None]:
    """The judging page, as long as this is open."""
    words = ["collapselab", "judge", "serve", study, "--port", str(port), "--poll", str(POLL_S)]
    print(f"$ {' '.join(words)} &", flush=True)
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        until(lambda: server.poll() is not None or _answers(port), "the server does not start")
        if server.poll() is not None:
            sys.exit(f"{' '.join(words)} ended with {server.returncode}")
        yield
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def until(there: Any, what: str) -> None:
    """Wait until something is there."""
    start = time.monotonic()
    while not there():
        if time.monotonic() - start > PATIENCE_S:
            sys.exit(f"{what} in {PATIENCE_S:.0f} s")
        time.sleep(0.1)


def expect_exit_code(one: Waits) -> None:
    """End this process unless the rule's own command says by its exit code that it waits, and for whom."""
    words = ["ballots", "--pool", str(one.pool), "--closed", str(one.export), "--out", "never.parquet"]
    done = subprocess.run(["collapselab", *words], capture_output=True, text=True, check=False)
    if done.returncode != EXIT_WAITING:
        sys.exit(f"collapselab {' '.join(words)} ended with {done.returncode}, expected was {EXIT_WAITING}")
    print(done.stderr, end="", flush=True)


def judge(study: Any, name: str, links: dict[str, Path], at_once: int) -> None:
    """All rounds that wait: opened by the server, judged, and closed."""
    rounds = list(waiting(study))
    until(lambda: all(one.export.with_suffix(".open.json").exists() for one in rounds), "no round was opened")
    expect_exit_code(rounds[0])
    for arm, path in links.items():
        if not path.exists():
            path.write_text(call("judge", "invite", name, "--arm", arm, quiet=True), encoding="utf-8")
        if any(one.arm == arm for one in rounds):
            call("judge", "simulate", name, "--arm", arm, "--links", str(path), "--at-once", str(at_once))
    for one in rounds:
        place = ["--arm", one.arm, "--seed", str(one.seed), "--generation", str(one.generation)]
        call("judge", "close", name, *place)


def port_of(links: Iterable[Path]) -> int:
    """The port of links that were printed before, so that a rehearsal that was cut short goes on; else any."""
    known = [
        urlsplit(one.url).port for path in links if path.exists() for one in links_of(path.read_text().splitlines())
    ]
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", known[0] or 0 if known else 0))
        return free.getsockname()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="rehearsal", help="its name, or its file")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=8, help="judges at the page at one time")
    arguments = parser.parse_args()
    study, name, start = find(arguments.study), arguments.study, time.monotonic()
    folder = Path("judging") / study.name
    folder.mkdir(parents=True, exist_ok=True)
    links = {arm: folder / f"links-{arm}.txt" for arm in arms_of_people(study)}
    port = port_of(links.values())
    if not run(name, arguments.cores):
        with served(name, port):
            while True:
                judge(study, name, links, arguments.at_once)
                call("judge", "export", name)  # the survey, before the report is drawn
                if run(name, arguments.cores):
                    break
    told = json.loads(call("judge", "status", name, "--json", quiet=True))
    judgements = sum(one["done"] for one in told["rounds"])
    print(f"{len(told['rounds'])} rounds, {judgements} judgements, {time.monotonic() - start:.0f} s")
    print(f"the report: {Path(study.report_file('report.html'))}")


if __name__ == "__main__":
    main()
