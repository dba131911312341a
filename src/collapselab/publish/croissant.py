"""What a data set is, in Croissant 1.1 (MLCommons, http://mlcommons.org/croissant/1.1): JSON-LD beside its files.

Croissant says which file holds what, by its hash, and how records are taken out of it; its responsible-AI terms say how
the data came to be. Written here by hand, since a dozen keys need no library; ``mlcroissant`` reads it in the tests.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import store
from ..core.sets import SampleSet
from ..data.export import MANIFEST
from ..data.formats import COLUMN, METADATA, PICTURES, beside, flat_columns

VERSION = "http://mlcommons.org/croissant/1.1"
FILE = "croissant.json"
MEDIA = {
    ".parquet": "application/x-parquet",
    ".csv": "text/csv",
    ".zip": "application/zip",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".safetensors": "https://huggingface.co/docs/safetensors",  # which has no media type of its own
}
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TEXT, IMAGE, WHOLE = "sc:Text", "sc:ImageObject", "sc:Integer"
Json = dict[str, Any]


class About(NamedTuple):
    """What is said of a data set, whatever its format; empty where nobody knows.

    licence: an address, or words. made: how the data came to be. people: what of people is in them. limits: what they
    should not be used for. origins: the hashes of what they were made from.
    """

    name: str
    description: str
    licence: str
    creator: str
    version: str
    published: str
    cite: str
    keywords: Sequence[str] = ()
    address: str = ""
    made: str = ""
    kind: str = ""
    people: str = ""
    limits: str = ""
    origins: Sequence[str] = ()


def croissant(about: About, format_name: str, path: Path, samples: SampleSet) -> Json:
    """The description of samples that were written in a format at a path.

    Raises ValueError for a format of which it cannot say where its records are.
    """
    said = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": about.name,
        "description": about.description,
        "license": about.licence,
        "creator": {"@type": "sc:Organization", "name": about.creator},
        "version": about.version,
        "datePublished": about.published,
        "citeAs": about.cite,
        "keywords": list(about.keywords),
        "url": about.address,
        "isLiveDataset": False,
        "rai:dataCollection": about.made,
        "rai:dataCollectionType": about.kind,
        "rai:dataCollectionRawData": ", ".join(about.origins),
        "rai:personalSensitiveInformation": about.people,
        "rai:dataLimitations": about.limits,
    }
    files = [_file(one) for one in _files(format_name, path)]
    sets = [_pictures(format_name, path)] if format_name in ("zip", "imagefolder") else []
    fields = list(_fields(format_name, path, samples))
    records = [{"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}] if fields else []
    described = {name: value for name, value in said.items() if value not in ("", [])}
    return described | {"distribution": [*files, *sets], **({"recordSet": records} if records else {})}


# -- files -------------------------------------------------------------------------------------------------------------


def _files(format_name: str, path: Path) -> list[Path]:
    """The files by which the data are described: the one that holds them, or the lists that stand in a folder."""
    inside = {"folder": [MANIFEST], "imagefolder": [METADATA, MANIFEST]}.get(format_name)
    return [path] if inside is None else [path / name for name in inside]


def _file(file: Path) -> Json:
    name = file.name
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": MEDIA[file.suffix],
        "sha256": store.content_hash(file),
    }


def _pictures(format_name: str, path: Path) -> Json:
    """The pictures of a zip, or of a folder; their own hashes stand in the manifest."""
    inside = {"containedIn": {"@id": path.name}} if format_name == "zip" else {}
    pattern = "*/*.png" if format_name == "zip" else f"{PICTURES}/*/*.png"
    about = {"@type": "cr:FileSet", "@id": "pictures", "name": "pictures", "encodingFormat": "image/png"}
    return about | inside | {"includes": pattern}


# -- fields ------------------------------------------------------------------------------------------------------------


def _fields(format_name: str, path: Path, samples: SampleSet) -> Iterator[Json]:
    """The fields of the records: what each is, and where it is taken from."""
    columns = {"label": samples.labels} if samples.labels is not None else {}
    if format_name == "zip":
        yield _field("image", IMAGE, {"fileSet": {"@id": "pictures"}, "extract": {"fileProperty": "content"}})
        yield _field("file", TEXT, {"fileSet": {"@id": "pictures"}, "extract": {"fileProperty": "fullpath"}})
    elif format_name == "folder":
        listed = {"file": TEXT, "index": WHOLE, "sha256": TEXT} | dict.fromkeys(columns, WHOLE)
        for name, kind in listed.items():
            yield _field(name, kind, _from(MANIFEST, jsonPath=f"$.pictures[*].{name}"))
    elif format_name == "imagefolder":
        yield _field("file_name", TEXT, _from(METADATA, column="file_name"))
        yield _field("index", WHOLE, _from(METADATA, column="index"))
        yield from (_column(METADATA, name, values) for name, values in beside(samples).items())
    elif format_name == "parquet":
        if samples.kind == "images":
            taken = _from(path.name, column="image") | {"transform": {"jsonPath": "bytes"}}
            yield _field("image", IMAGE, taken)
        else:
            yield _column(path.name, COLUMN[samples.kind], samples.data)
        yield from (_column(path.name, name, values) for name, values in beside(samples).items())
    elif format_name == "csv":
        yield from (_column(path.name, name, values) for name, values in flat_columns(samples).items())
    elif (
        format_name != "safetensors"
    ):  # whose tensors no reader of Croissant takes apart: its file has a hash, and that
        raise ValueError(
            f"format: found {format_name!r}; Croissant is written of zip, folder, imagefolder, parquet, csv"
        )


def _from(file: str, **extract: str) -> Json:
    return {"fileObject": {"@id": file}, "extract": extract}


def _column(file: str, name: str, values: np.ndarray) -> Json:
    """A field of a column of numbers; of lists as long as each other it says the shape."""
    shape = values.shape[1:]
    arrays = {"isArray": True, "arrayShape": ",".join(map(str, shape))} if shape else {}
    return _field(name, _type(values.dtype), _from(file, column=name)) | arrays


def _field(name: str, kind: str, source: Json) -> Json:
    return {"@type": "cr:Field", "@id": f"samples/{name}", "name": name, "dataType": kind, "source": source}


def _type(dtype: np.dtype) -> str:
    if dtype.kind == "b":
        return "sc:Boolean"
    names = {"i": "Int", "u": "UInt", "f": "Float"}
    return f"cr:{names[dtype.kind]}{8 * dtype.itemsize}"
