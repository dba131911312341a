"""Which workspace this is: what it has written to a store that others share, it alone changes there."""

import getpass
import json
import uuid
from pathlib import Path

from .. import __version__, store
from ..machine.revision import revision

FOLDER = Path(".collapselab")  # what belongs to this copy of the project: neither to git nor to DVC


def workspace(root: Path) -> str:
    """The name of the project at a root: drawn by lot once, and kept beside the place that it was drawn for.

    A project that was moved keeps its name, and a copy beside the first gets one of its own.
    """
    path, here = Path(root) / FOLDER / "workspace.json", str(Path(root).resolve())
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        name, place = str(found["name"]), str(found["root"])
    except (OSError, ValueError, LookupError, TypeError):
        name, place = "", ""
    if name and place == here:
        return name
    copied = place and _name_at(Path(place)) == name
    name = uuid.uuid4().hex[:12] if copied or not name else name
    text = json.dumps({"name": name, "root": here})
    store.write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return name


def _name_at(root: Path) -> str:
    try:
        return str(json.loads((root / FOLDER / "workspace.json").read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def stamp(root: Path) -> dict[str, str]:
    """Who mirrors, with what, and at which commit: MLflow's own tags. No commit where there is no repository."""
    tags = {"mlflow.user": _user(), "mlflow.source.name": f"collapselab {__version__}", "mlflow.source.type": "LOCAL"}
    commit, changed = revision(root)
    return tags | ({"mlflow.source.git.commit": commit, "uncommitted": str(changed).lower()} if commit else {})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user whom the system does not know
        return "unknown"
