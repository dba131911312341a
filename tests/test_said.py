"""What files with a right hash say of themselves: as it was written, or refused with exit code 3, never a traceback.

A hash vouches for bytes and not for who wrote them: a tool of somebody's own, or another version of this one.
"""

import json
import random
import shlex
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest
import test_cli
from project import ENVIRONMENT

from collapselab import store
from collapselab.cli import run as frame
from collapselab.store import METADATA_KEY

ODD = [None, 3, -1, 10**30, 1.5, "x", "", [], {}, [None], {"a": None}, True, [[]], float("inf")]
LINES = [line.strip() for line in test_cli.CHAIN.split(" + ")]


def places(said, here=()):
    for key, value in said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ():
        yield (*here, key)
        yield from places(value, (*here, key))


def changed(said, chance):
    """The same with one thing left out, or something odd in its place."""
    said = json.loads(json.dumps(said))
    above, key = (path := chance.choice([one for one in places(said) if one != ("format",)]))[:-1], path[-1]
    part = said
    for step in above:
        part = part[step]
    if chance.random() < 0.3:
        del part[key]
    else:
        part[key] = chance.choice(ODD)
    return said


def rewrite(path, chance):
    """Change what a file says of itself, and write the hash of what it is then."""
    if path.suffix == ".safetensors":
        content = path.read_bytes()
        begin = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:begin])
        header["__metadata__"][METADATA_KEY] = json.dumps(
            changed(json.loads(header["__metadata__"][METADATA_KEY]), chance)
        )
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[begin:])
    elif path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        said = changed(json.loads(table.schema.metadata[METADATA_KEY.encode()]), chance)
        columns = chance.sample(table.column_names, max(1, table.num_columns - (chance.random() < 0.2)))
        pyarrow.parquet.write_table(
            table.select(columns).replace_schema_metadata({METADATA_KEY: json.dumps(said)}), path
        )
    else:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), chance)))
    store.hash_path(path).write_text(f"{store.content_hash(path)}  {path.name}\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which one process has run all verbs of a generation."""
    folder = tmp_path_factory.mktemp("said")
    test_cli.run(f"--cost cost.json {test_cli.CHAIN}", folder)
    return folder


FEW, MANY = range(150), pytest.param(range(150, 1_500), marks=pytest.mark.slow)


@pytest.mark.parametrize("numbers", [FEW, MANY], ids=["few", "many"])
def test_what_a_file_says_is_checked_like_its_content(made, tmp_path, monkeypatch, capsys, numbers):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    work = shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(work)
    files = [path.relative_to(made).with_suffix("") for path in made.rglob("*.sha256")]
    codes = dict.fromkeys((0, 2, 3), 0)
    for number in numbers:
        chance = random.Random(number)
        line, _, out = chance.choice(LINES[1:]).rpartition("--out ")
        read = [file for file in files if str(file) in line]
        if not read:
            continue
        file = chance.choice(read)
        rewrite(work / file, chance)
        code = frame.run(shlex.split(f"{line} --out other/{Path(out).name}"))
        said = capsys.readouterr().err
        assert code in codes or (code == 7 and "diverged" in said), f"{number}: {file} ended with {code}\n{said}"
        assert code != 3 or str(file) in said, f"{number}: {file} is not named\n{said}"
        codes[code] = codes.get(code, 0) + 1
        for one in (file, store.hash_path(file)):
            shutil.copy2(made / one, work / one)
    assert codes[3] > len(numbers) / 10, codes  # they are worth their name


REPORTED = ["metrics.json", "train.cost.json", "sample.cost.json", "baseline.json"]


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTED)
def test_what_a_report_is_drawn_of_is_checked_likewise(smoke, monkeypatch, capsys, name):
    monkeypatch.chdir(smoke.folder)
    path = next(iter(sorted(smoke.folder.glob(f"results/**/{name}"))))
    before, line = path.read_bytes(), store.hash_path(path).read_bytes()
    for number in range(40):
        chance = random.Random(number)
        rewrite(path, chance)
        for verb in ("report smoke", "track smoke"):
            code = frame.run(shlex.split(verb))
            assert code in (0, 2, 3, 4), f"{number}: {capsys.readouterr().err}"
        path.write_bytes(before)
        store.hash_path(path).write_bytes(line)


def test_records_that_are_none_are_refused_by_name(tmp_path, monkeypatch):
    from collapselab.core.errors import Damaged
    from collapselab.study.results import Baseline, Cost, Record, read_as

    whole = {"study": "s", "arm": "a", "seed": 0, "generation": 1, "status": "ok", "diverged": None, "lineage": {}}
    value = {"set": "sampled", "extractor": "pixels", "metric": "recall", "value": 0.5, "fingerprint": "f"}
    whole |= {"values": [value], "fingerprints": {"f": {}}, "composition": [{"arm": "b", "generation": 0, "count": 3}]}
    path = tmp_path / "metrics.json"
    store.write_json(path, whole)
    assert read_as(Record, path) == whole
    for key, wrong in {
        **{key: 3.5 for key in whole if key != "diverged"},
        "values": [{**value, "fingerprint": "g"}],
        "generation": "1",
        "status": "fine",
        "composition": [{"arm": "b", "generation": 0}],
    }.items():
        store.write_json(path, whole | {key: wrong})
        with pytest.raises(Damaged, match=r"metrics\.json: does not say what this version reads of it"):
            read_as(Record, path)
    for kind, content in ((Cost, {"joules": "many"}), (Cost, []), (Baseline, {"values": []}), (Baseline, None)):
        store.write_json(path, content)
        with pytest.raises(Damaged):
            read_as(kind, path)
