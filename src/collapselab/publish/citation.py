"""How an exported data set or study is cited: CITATION.cff (Citation File Format 1.2.0, Druskat et al. 2021)."""

import json
from typing import Any, NamedTuple

from .. import __version__
from ..data.rights import Rights


class Cited(NamedTuple):
    """What is cited. authors: as ``Family, Given``, or names of groups. licence: an identifier of SPDX, or empty."""

    title: str
    abstract: str
    version: str
    commit: str
    released: str
    authors: tuple[str, ...]
    licence: str
    keywords: tuple[str, ...]


def cff(cited: Cited, citation: str, rights: Rights) -> str:
    """The text of a CITATION.cff. citation, rights: of the real data, which are a reference, as the software is."""
    own = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below, and the sources that they were made from.",
        "type": "dataset",
        "title": cited.title,
        "abstract": cited.abstract,
        "version": cited.version,
        "commit": cited.commit,
        "date-released": cited.released,
        "license": cited.licence,
        "authors": [_author(name) for name in cited.authors],
        "keywords": list(cited.keywords),
    }
    source = {
        "type": "data",
        "title": citation,
        "authors": [{"name": rights.owner or "not known to collapselab"}],
        "license": rights.licence,
        "url": rights.address,
        "notes": rights.note,
    }
    software = {
        "type": "software",
        "title": "collapselab",
        "version": __version__,
        "license": "Apache-2.0",
        "authors": [{"name": "The collapselab developers"}],
    }
    return _yaml(_without_gaps(own) | {"references": [_without_gaps(source), software]})


def _author(name: str) -> dict[str, str]:
    family, comma, given = name.partition(",")
    return {"family-names": family.strip(), "given-names": given.strip()} if comma else {"name": name}


def _without_gaps(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value not in ("", [])}


def _yaml(said: dict[str, Any]) -> str:
    """Mappings, lists and texts as YAML; texts as JSON has them, which YAML reads alike."""
    lines = []
    for name, value in said.items():
        if not isinstance(value, list):
            lines.append(f"{name}: {json.dumps(value, ensure_ascii=False)}")
            continue
        lines.append(f"{name}:")
        lines += [f"  - {json.dumps(one, ensure_ascii=False)}" for one in value]
    return "\n".join(lines) + "\n"
