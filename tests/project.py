"""A copy of the workflow in a folder of its own, for tests that run it."""

import os
import re
import shutil
import sys
from pathlib import Path

import forked

from collapselab.study import BadStudy
from collapselab.study.loading import check
from collapselab.study.reading import parse

ROOT = Path(__file__).parents[1]
PARTS = (
    *("Snakefile", "workflow", "profiles", "config", "environment.yml", "src"),
    *("dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvc/plots", ".dvcignore", ".gitignore"),
)
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "COLLAPSELAB_DEVICE": "cpu",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
# What a developer's shell may say; without compiled modules every one of a study's processes would compile them all.
FOREIGN = ("SNAKEMAKE_PROFILE", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE")


def missing_parts(path):
    """The study in a file, and the places in it that name data or weights which the repository does not have.

    Any other fault fails.
    """
    raw, lines, faults = parse(path)
    found, more = check(raw, path.stem)
    absent = [fault for fault in more if re.search("no such file|there is no|is not at", fault.message)]
    if other := [fault for fault in [*faults, *more] if fault not in absent]:
        raise BadStudy(path, other, lines)
    return found, [fault.path for fault in absent]


class Project:
    """The repository's workflow, configuration and source, copied: no edit here or there reaches the other."""

    def __init__(self, folder):
        self.folder = Path(folder)

    @classmethod
    def create(cls, folder):
        """A copy of what git has, without results."""
        for part in PARTS:
            source, target = ROOT / part, Path(folder) / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        return cls(folder)

    def copy(self, folder):
        """A copy with the results and what Snakemake remembers of them."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    @property
    def environment(self):
        """Programs from this Python's environment, the package from this folder."""
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")])
        dvc = {"DVC_SITE_CACHE_DIR": str(self.folder / ".dvc" / "tmp" / "site")}
        return inherited | ENVIRONMENT | dvc | {"PATH": path, "PYTHONPATH": str(self.folder / "src")}

    def run(self, *command, code=0, timeout=300):
        """What a command says, after checking its exit code; None accepts any."""
        command = [str(word) for word in command]
        done = forked.run(command, self.folder, self.environment, timeout)
        assert code is None or done.returncode == code, f"{command} ended with {done.returncode}\n{said(done)}"
        return done

    def snakemake(self, *arguments, study="smoke", code=0, timeout=300):
        """Snakemake on two cores."""
        command = ("snakemake", "--cores", 2, "--config", f"study={study}", "--", *arguments)
        return self.run(*command, code=code, timeout=timeout)

    def plan(self, *targets, study="smoke"):
        """rule -> number of jobs that would run."""
        done = self.run("snakemake", "-n", "--quiet", "rules", "--config", f"study={study}", "--", *targets)
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total +(\d+)$", done.stdout, re.MULTILINE | re.DOTALL)
        if table is None:
            assert "Nothing to be done" in done.stdout, said(done)
            return {}
        jobs = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
        assert sum(jobs.values()) == int(table[2])
        return jobs

    def edit(self, file, *changes):
        """Replace each old text of a file by a new one; the old one must stand there once."""
        path = self.folder / file
        text = path.read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times"
            text = text.replace(old, new)
        path.write_text(text)

    def hashes(self, folder="results"):
        """file -> recorded hash, of all files but those that hold times."""
        files = sorted((self.folder / folder).rglob("*.sha256"))
        timed = re.compile(r"\.cost\.json|/report/")
        return {
            str(file.relative_to(self.folder)): file.read_text().split()[0]
            for file in files
            if not timed.search(str(file))
        }


def said(done):
    """All that a process said."""
    return f"{done.stdout}\n{done.stderr}"
