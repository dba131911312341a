"""A loop of adapters on a pipeline that lies in a folder: to its report, offline, with the folder left as it is."""

import json
import socket
from importlib.util import find_spec
from pathlib import Path

import in_process
import pytest
import yaml

from collapselab import store
from collapselab import study as studies
from collapselab.cli import run as frame
from collapselab.core.ask import Ask
from collapselab.models import MODELS
from collapselab.models.files import read_model
from collapselab.study import jobs
from collapselab.study.jobs import Place

pytest.importorskip("torch")
if find_spec("peft") is None:
    pytest.skip("needs collapselab[pretrained]", allow_module_level=True)

from collapselab.models.pretrained import pipeline

pytestmark = pytest.mark.trained

STUDY = """
name: lora
seeds: 1
generations: 3
data: {source: digits, split: {train: 60, held_out: 40}}
models:
  lora:
    pretrained:
      base: base
      prompts: prompts.csv
      steps: 2
      batch: 20
      learning_rate: 0.01
initial: {real: 60}
init: previous
train: {images_seen: 60}
samples: 120
extractors: [pixels]
metrics: [frechet_distance, recall]
primary: {metric: frechet_distance, extractor: pixels}
arms:
  own: {model: lora, regime: fully_synthetic}
  chosen: {model: lora, regime: fully_synthetic, sampling_bias: 0.5, select: {random: {share: 0.5}}}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The study, in a folder with its pipeline and its prompts, and no network anywhere."""
    monkeypatch.chdir(tmp_path)
    pipeline.write(pipeline.tiny(), Path("base"))
    Path("prompts.csv").write_text("prompt\n" + "".join(f"the digit {one}\n" for one in range(10)), encoding="utf-8")
    Path("config").mkdir()
    Path("config/lora.yaml").write_text(STUDY, encoding="utf-8")

    def refused(*given, **named):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return studies.load(Path("config/lora.yaml"))


def test_trainings_hang_on_the_base_and_on_the_words_of_the_prompts(study):
    place = Place("own", 0, 1)
    before, told = jobs.identity(study, "train", place), jobs.arguments(study, "train", place)
    assert f"base={pipeline.read('base').digest}" in before and "the digit 7" in told
    assert jobs.identity(study, "sample", place).count("=") == 0  # its model says which base it adds to
    config = Path("base/scheduler/scheduler_config.json")
    config.write_text(config.read_text(encoding="utf-8").replace("0.012", "0.013"), encoding="utf-8")
    assert jobs.identity(study, "train", place) != before
    prompts = Path("prompts.csv")
    prompts.write_text(prompts.read_text(encoding="utf-8").replace("digit 7", "number 7"), encoding="utf-8")
    assert jobs.arguments(studies.load(Path("config/lora.yaml")), "train", place) != told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": "nowhere"}, "models.lora.pretrained.base: found no folder 'nowhere'; allowed are tiny"),
        ({"prompts": "none.txt"}, "none.txt cannot be read: No such file"),
        ({"prompts": ["a", "b"]}, "models.lora.pretrained.classes: found 2, but the images have labels 0 to 9"),
        ({"controlnet": "c", "control_image": "i"}, "models.lora.pretrained.controlnet: there is no 'c'"),
        ({"lora_rank": 0}, "models.lora.pretrained.lora_rank: found 0"),
    ],
)
def test_a_study_is_told_what_is_not_there_before_any_work(study, change, message):
    raw = yaml.safe_load(STUDY)
    raw["models"]["lora"]["pretrained"] |= change
    with pytest.raises(studies.BadStudy) as caught:
        studies.from_plan(json.dumps(raw))
    assert message in str(caught.value)


@pytest.mark.slow
def test_three_generations_of_adapters_come_to_a_report(study):
    before = contents("base")
    in_process.run(study)
    assert frame.run(in_process.words_of(study, "report", Place())) == 0
    assert Path("results/lora/report/report.html").stat().st_size > 50_000
    assert contents("base") == before
    weights = sum(path.stat().st_size for path in Path("base").rglob("*.safetensors"))
    for arm in ("own", "chosen"):
        for generation in (1, 2, 3):
            path = Path(study.cell(arm, 0, generation, "model.safetensors"))
            assert path.stat().st_size < weights / 5
            model, said = read_model(path, MODELS, {})
            assert model.digest == pipeline.read("base").digest and said["options"]["prompts"][7] == "the digit 7"
            samples = store.read_samples(Path(study.cell(arm, 0, generation, "samples.safetensors")))
            assert sorted(set(samples.labels.tolist())) == list(range(10)) and samples.data.shape == (120, 1, 8, 8)
            again = model.sample(Ask(3, _seed(study, arm, generation), bias=0.5 if arm == "chosen" else 1.0)).data
            assert (again == samples.data[:3]).all()
    first, last = (read_model(Path(study.cell("own", 0, t, "model.safetensors")), MODELS, {})[0] for t in (1, 3))
    assert any((first.adapter[name] != one).any() for name, one in last.adapter.items())


def contents(folder):
    """The hash of every file of a folder, but for what is noted beside them."""
    files = [path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".verified"]
    return {path: store.content_hash(path) for path in files}


def _seed(study, arm, generation):
    from collapselab.verbs.sample import sample_seed

    return sample_seed(study.file.seed, 0, generation, "sample", study.lineages[arm].stream)
