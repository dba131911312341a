"""Small files of an export."""

import json
import re
from typing import Any

SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def json_text(content: Any) -> bytes:
    """JSON as people read it."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def licence_address(licence: str) -> str:
    """The page of a licence that SPDX knows by this identifier, and other words as they are."""
    return f"https://spdx.org/licenses/{licence}.html" if SPDX.fullmatch(licence) else licence
