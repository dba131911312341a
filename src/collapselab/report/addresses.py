"""Where MLflow is, and how much of that others may see."""

import importlib.util
import os
import re
from pathlib import Path
from urllib.parse import unquote


def default_uri(root: Path) -> str:
    """``MLFLOW_TRACKING_URI``, or ``mlflow.db`` at the project's root, where ``mlflow ui`` finds it.

    The root is named from where the process stands if its own path has signs that mean something else in an address.
    """
    named = Path(root).resolve()
    if {*"?#%&;"} & {*str(named)}:
        named = Path(os.path.relpath(named))
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{named / 'mlflow.db'}"


def with_driver(uri: str) -> str:
    """The same with the driver for PostgreSQL that is there, where the address names none and its default is not."""
    scheme, parted, rest = uri.partition("://")
    if scheme in ("postgres", "postgresql") and parted:
        there = [name for name in ("psycopg2", "psycopg") if importlib.util.find_spec(name)]
        return f"postgresql+{there[0]}://{rest}" if there else uri
    return uri


def address(uri: str) -> str:
    """Of an address its scheme and host alone, or its scheme and file: what is said of it is shown to others.

    Users, passwords and tokens stand before the host or behind it, in as many forms as there are stores; where it
    cannot be told what is the host, it is not shown.
    """
    scheme, parted, rest = uri.partition("://")
    if not parted:
        return re.split("[?;]", uri)[0] if re.fullmatch(r"[\w./ ~-]*", re.split("[?;]", uri)[0]) else "an address"
    if not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        return "an address"
    if rest.startswith("/"):
        return f"{scheme}://{re.split('[?;]', rest)[0]}"
    authority = re.split(r"[/?#;\s]", rest)[0]
    host = authority.rpartition("@")[2]
    known = re.fullmatch(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", host)
    unclear = "@" not in authority and "@" in rest
    return f"{scheme}://{host}" if known and not unclear else f"{scheme}://…"


def without_secrets(text: str, uri: str) -> str:
    """What an error says, with addresses cut as by :func:`address`; nothing of it where it quotes a part of ``uri``."""
    text = text.replace(uri, address(uri))
    written = (uri.removeprefix(address(uri)), unquote(uri).removeprefix(address(uri)))
    parts = (part for one in written for part in re.split(r"[\s/?#;&=:@,'\"]+", one))
    hidden = {part for part in parts if len(part) > 2 and part not in address(uri)}
    if any(part in text for part in hidden):
        return "(what it says is left out: it quotes the address)"
    return re.sub(r"[A-Za-z][\w+.-]*://[^\s'\"<>]+", lambda found: address(found[0]), text)
