"""Which commit of a working copy a process runs in."""

import subprocess
from pathlib import Path
from typing import Any


def revision(root: Path = Path()) -> tuple[str, bool]:
    """The commit of the working copy at a root, empty where there is none, and whether anything is not committed."""
    commit = _git(root, "rev-parse", "HEAD")
    return commit, bool(commit and _git(root, "status", "--porcelain", "--untracked-files=no"))


def facts() -> dict[str, Any]:
    """The same of where this process runs, for the costs of a job; nothing where no repository is."""
    commit, changed = revision()
    return {"commit": commit, "uncommitted": changed} if commit else {}


def _git(root: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
