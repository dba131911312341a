"""The search for a guide: its spaces, its front, its trials, and the verb that runs it on a finished model."""

import json
import math
from contextlib import nullcontext
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import in_process
import numpy as np
import pytest
from PIL import Image

from collapselab import store
from collapselab import study as studies
from collapselab.cli import run as frame
from collapselab.cli import work
from collapselab.core import seeds
from collapselab.core.ask import Ask
from collapselab.core.errors import Damaged, Undefined
from collapselab.features import FEATURES, Features
from collapselab.guides import GUIDES
from collapselab.metrics import METRICS
from collapselab.models.files import write_model
from collapselab.models.gaussian_diffusion import GaussianDiffusion
from collapselab.search import objectives, spaces, trials
from collapselab.search.tried import Bench

needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed: the extra search")

V, MAIN, WEAK = 1.0, 0.1, 0.3
BEST = math.log((V + MAIN) / V) / math.log((V + WEAK) / (V + MAIN))  # .57053: repairs the variance of the toy
SAID = {
    **{name: {"negative": 0} for name in ("dynamic_negative", "deletion", "perp_neg")},
    "fair": {"classes": [0, 1]},
}


def law(variance, steps=32):
    options = GaussianDiffusion.Options(ddof=0, standardise=False, between=1, steps=steps)
    return GaussianDiffusion(options, np.zeros(1), np.full((1, 1), variance))


def searched(name, fixed=None, ranges=None):
    return spaces.searched(name, GUIDES[name], SAID.get(name, {}) | (fixed or {}), ranges or {})


# -- spaces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(GUIDES))
def test_every_guide_has_a_space_and_all_that_is_drawn_from_it_are_options(name):
    entry, one = GUIDES[name], searched(name)
    assert one.space and not spaces.unsaid(entry.Options, one.space, one.fixed)
    chance = seeds.generator(1)

    def end(which):
        return lambda _, what: (what.values if isinstance(what, spaces.Among) else what[:2])[which]

    def drawn(_, what):
        if isinstance(what, spaces.Among):
            return what.values[chance.integers(len(what.values))]
        low, high = (math.log(one) if what.log else one for one in what[:2])
        number = chance.uniform(low, high)
        return math.exp(number) if what.log else number

    seen = set()
    for draw in (end(0), end(1), *[drawn] * 50):
        said = one.drawn(draw)
        options = one.options(said)  # or it raises
        tried = {option: said[option] for option in one.space if option in said}
        assert {option: getattr(options, option) for option in tried} == tried
        numbers = [value for option, value in tried.items() if isinstance(one.space[option], spaces.Span)]
        assert numbers == [float(f"{number:.4g}") for number in numbers]  # as they are printed
        seen |= set(said)
    assert set(one.space) <= seen  # each is of use somewhere


def test_the_page_has_every_range():
    page = (Path(__file__).parents[1] / "docs" / "searching.md").read_text(encoding="utf-8")
    rows = {name: line for line in page.splitlines() for name in GUIDES if line.startswith(f"| `{name}` |")}
    for name, space in spaces.SPACES.items():
        for option, what in space.items():
            if isinstance(what, spaces.Span) and what != spaces.WEIGHT and (name, option) != ("mambog", "w"):
                ends = [f"{end:g}".replace("0.", ".") for end in what[:2]]
                assert f"`{option}` {ends[0]} to {ends[1]}" in rows[name]


def test_a_class_is_a_question_and_no_strength():
    for name in SAID:
        with pytest.raises(ValueError, match=f"{name}: needs {next(iter(SAID[name]))}"):
            spaces.searched(name, GUIDES[name], {}, {})


def test_what_is_said_is_not_searched_and_ranges_take_the_place_of_others():
    one = searched("cfg", {"schedule": "constant"}, {"w": [-0.9, 4]})
    assert one.space["w"] == spaces.Span(-0.9, 4, log=False)
    assert one.drawn(lambda _, what: what.low) == {"schedule": "constant", "w": -0.9}
    for fixed, ranges, words in (
        ({"W": 1}, {}, "found the option 'W'; allowed: w, schedule"),
        ({"w": 1}, {"w": [0, 1]}, "cfg.w: found a value and a range"),
        ({}, {"w": [1, 1]}, r"cfg.w: found \[1, 1\]; allowed are two numbers"),
        ({}, {"w": 3}, "cfg.w: found 3"),
    ):
        with pytest.raises(ValueError, match=words):
            searched("cfg", fixed, ranges)


# -- objectives -------------------------------------------------------------------------------------------------------


def test_objectives_are_metrics_with_a_direction_or_a_target():
    found = objectives.parsed("recall,variance_ratio~1,vendi_score~real", {"recall": {"k": 3}}, "identity")
    assert [(one.name, one.better) for one in found] == [
        ("recall", "higher"),
        ("variance_ratio~1", "lower"),
        ("vendi_score~real", "lower"),
    ]
    assert found[0].options["k"] == 3 and found[1].of(0.75) == 0.25 and found[0].of(0.75) == 0.75
    rows = Features(np.eye(5))  # five that have nothing in common are of five kinds
    assert found[2].settled(rows).target == pytest.approx(METRICS["vendi_score"](rows, rows))
    assert found[0].settled(rows) == found[0]
    for said, words in (
        ("vendi_score", "vendi_score~real"),
        ("recall~real", "metrics of samples alone"),
        ("recall~x", "a number"),
    ):
        with pytest.raises(ValueError, match=words):
            objectives.parsed(said, {}, "identity")
    with pytest.raises(ValueError, match=r"found 'bogus'.*density is better neither.*density~1.*authenticity compares"):
        objectives.parsed("bogus,density,authenticity", {}, "identity")
    with pytest.raises(ValueError, match=r"tail_coverage compares with other samples .* or has several numbers"):
        objectives.parsed("tail_coverage~1", {}, "identity")  # of which nobody could say which
    with pytest.raises(ValueError, match="each once"):
        objectives.parsed("recall,recall", {}, "identity")


def test_the_front_holds_what_no_other_beats():
    aims = objectives.parsed("recall,frechet_distance", {}, "identity")
    grid = [tuple(map(float, one)) for one in product(range(4), range(4))]
    values = [*grid, None, (3.0, 0.0)]  # the last is as good as one before it, which counts
    assert objectives.front(values, aims) == [grid.index((3.0, 0.0))]
    line = [(float(one), float(one)) for one in range(5)]  # more recall, and farther away
    assert objectives.front(line, aims) == [0, 1, 2, 3, 4]
    assert objectives.front([(1.0, 2.0), (1.0, 1.0), (0.5, 1.0)], aims) == [1]


# -- trials -----------------------------------------------------------------------------------------------------------


@needs_optuna
@pytest.mark.parametrize("seed", range(5))
def test_the_repair_weight_of_autoguidance_is_found(seed):
    """The real rows begin at the noise of the samples, so that what chance makes of 256 rows cancels in the ratio, and
    so does what 32 steps of Heun's do to a variance. Left are the trials: 40 come within .05 of w* = .57053.
    """
    real = law(V).sample(Ask(256, seed)).data
    aims = objectives.parsed("variance_ratio~1", {}, "identity")
    look = FEATURES["identity"].extract
    bench = Bench(law(V + MAIN), 256, seed, look, look(real), aims, others={"weak": law(V + WEAK)})
    found = trials.search(None, seed, [searched("autoguidance")], aims, 40, bench.values)
    assert len(found) == 41 and found[0].guide is None
    assert found[0].values[0] == pytest.approx(V + MAIN, rel=2e-3)
    [best] = objectives.front([[aims[0].of(one.values[0])] for one in found], aims)
    assert abs(found[best].options["w"] - BEST) < 0.05


def walk(guide, options):
    """Numbers of a choice, and of it alone."""
    if guide is None:
        return 0.0, 0.0
    if guide.name == "rescale" and options["phi"] > 0.9:
        raise Undefined("too much of it")
    return (options["w"] - 1) ** 2, -len(guide.name) * options["w"]


@needs_optuna
@pytest.mark.parametrize("said", ["recall,frechet_distance", "frechet_distance"])
def test_trials_are_the_same_however_often_they_are_interrupted(tmp_path, said):
    aims = objectives.parsed(said, {}, "identity")
    guides = [searched(name) for name in ("cfg", "apg", "rescale")]
    values = lambda guide, options: walk(guide, options)[: len(aims)]  # noqa: E731
    whole = trials.search(None, 3, guides, aims, 40, values)
    assert len(whole) == 41 and len({str(one.options) for one in whole}) > 32
    assert trials.search(None, 4, guides, aims, 5, values)[1:] != whole[1:6]
    journal, made = tmp_path / "new" / "trials.journal", []

    def dies(guide, options):
        made.append(options)
        if len(made) in (1, 9, 24):
            raise KeyboardInterrupt
        return values(guide, options)

    for budget in (18, 18, 18, 40, 40):
        if journal.exists():
            with open(journal, "ab") as stream:
                stream.write(b'{"op_code": 5, "half')  # killed as it wrote
        try:
            found = trials.search(journal, 3, guides, aims, budget, dies)
        except KeyboardInterrupt:
            continue
    assert found == whole and len(made) == 41 + 3
    assert trials.search(journal, 3, guides, aims, 40, dies) == whole and len(made) == 44
    assert {one.reason for one in whole if one.values is None} == {"too much of it"}
    journal.write_text("not a journal\nat all\n")
    with pytest.raises(Damaged, match="holds no trials"):
        trials.search(journal, 3, guides, aims, 40, dies)


@needs_optuna
def test_several_objectives_are_searched_better_than_by_chance():
    """Of w alone, with the optimum of one objective at 1 and of the other at 2: later trials lie between them."""
    aims = objectives.parsed("frechet_distance,kernel_distance", {}, "identity")
    guides = [searched("mambog", {"alpha": 1.0}), searched("sims")]
    values = lambda guide, options: ((options["w"] - 1) ** 2, (options["w"] - 2) ** 2) if guide else (9.0, 9.0)  # noqa: E731
    found = trials.search(None, 1, guides, aims, 96, values)[1:]
    inside = [0.9 < one.options["w"] < 2.1 for one in found]
    assert np.mean(inside[-32:]) > 2 * np.mean(inside[: trials.POPULATION])


def test_without_optuna_the_cure_is_said(monkeypatch):
    monkeypatch.setattr("collapselab.core.extras.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"found no optuna.*pip install 'collapselab\[search\]'"):
        trials.search(None, 1, [searched("cfg")], [], 1, walk)


# -- the verb ---------------------------------------------------------------------------------------------------------

TOY = """
name: toy
question: Does a search find the weight that repairs a variance?
seed: {seed}
seeds: 1
generations: 1
control: none
data: {{population: {{gaussian: {{dimension: 1}}}}, split: {{held_out: 100}}}}
models: {{wide: {{gaussian-diffusion: {{ddof: 0, standardise: false, between: 1, steps: {steps}}}}}}}
initial: {{real: 100}}
samples: {samples}
extractors: [identity]
metrics: [variance_ratio]
primary: {{metric: variance_ratio, extractor: identity}}
arms:
  led: {{model: wide, regime: fully_synthetic, guide: {{autoguidance: {{w: 1, auxiliary: {{options: {{ddof: 1}}}}}}}}}}
"""


def toy(folder, monkeypatch, seed=1, steps=32, samples=200):
    """The study of the toy, with the models of its closed form where a loop has left its own."""
    monkeypatch.chdir(folder)
    Path("config").mkdir()
    Path("config/toy.yaml").write_text(TOY.format(seed=seed, steps=steps, samples=samples), encoding="utf-8")
    study = studies.find("toy")
    for noun, variance in (("model.safetensors", V + MAIN), ("auxiliary-weak.safetensors", V + WEAK)):
        write_model(Path(study.cell("led", 0, 1, noun)), "gaussian-diffusion", law(variance, steps), {})
    return study


def front_in(out):
    return json.loads(Path(out.strip().splitlines()[-1]).read_text(encoding="utf-8"))


@needs_optuna
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_command_finds_the_repair_weight(tmp_path, monkeypatch, capsys, seed):
    """Of 2^18 samples a variance has the standard error .0028, which is .017 of w, and 128 steps of Heun's are .008;
    40 trials come within .03.
    """
    toy(tmp_path, monkeypatch, seed, steps=128, samples=2**18)
    words = ["guide", "toy", "--budget", "40", "--guide", "autoguidance", "--objective", "variance_ratio~1"]
    assert frame.run([*words, "--search-seed", str(seed)]) == 0
    [point] = front_in(capsys.readouterr().out)["points"]
    assert abs(point["options"]["w"] - BEST) < 0.05


def test_a_study_without_an_arm_that_can_be_guided_says_so_and_names_no_arm(tmp_path, monkeypatch, capsys):
    toy(tmp_path, monkeypatch)
    lines = Path("config/toy.yaml").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith(("models:", "  led:"))]
    text = "\n".join(
        [*lines, "  led: {model: plain, regime: fully_synthetic}", "models: {plain: {gaussian: {ddof: 0}}}"]
    )
    Path("config/toy.yaml").write_text(text, encoding="utf-8")
    assert frame.run(["guide", "toy", "--budget", "1"]) == 2
    said = capsys.readouterr().err
    assert "toy: no arm can be guided" in said and "--arm" not in said, said


@needs_optuna
def test_each_point_is_an_arm_to_paste(tmp_path, monkeypatch, capsys):
    toy(tmp_path, monkeypatch)
    words = ["guide", "toy", "--objective", "variance_ratio~1,frechet_distance", "--options", '{"cads": {"w": 1}}']
    assert frame.run([*words, "--budget", "6"]) == 0
    out = capsys.readouterr().out
    assert "left out: sims: steers by a further model (own) that is not there; say --train" in out
    assert "left out: cfgpp: is not defined for sampler 'heun'" in out and "left out: fair: needs classes" in out
    assert """say it: --options '{"perp_neg": {"negative": "…"}}'""" in out
    assert frame.run([*words, "--budget", "12"]) == 0
    found = front_in(out := capsys.readouterr().out)
    assert found["trials"] == 12 and found["objectives"] == ["variance_ratio~1", "frechet_distance"]
    folder = Path(out.strip().splitlines()[-1]).parent
    table = (folder / "trials.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) == 14 and table[0] == "trial,guide,arm,variance_ratio,frechet_distance,front,undetermined"
    assert (folder / "front.pdf").read_bytes().startswith(b"%PDF") and not (folder / "front.png").exists()
    arms = [line.split("  #")[0] for line in out.splitlines() if line.startswith("guide: ")]
    assert arms and arms == [one["arm"] for one in found["points"] if one["guide"]]
    text = Path("config/toy.yaml").read_text(encoding="utf-8").replace("name: toy", "name: pasted")
    text += "  plain: {model: wide, regime: fully_synthetic}\n"
    for number, said in enumerate(arms):
        text += f"  point{number}: {{model: wide, regime: fully_synthetic, {said}}}\n"
    text += "waive: {images_seen: second models are seen beside}\n"
    study = studies.loading.load(_written("pasted", text))
    for number, one in enumerate(one for one in found["points"] if one["guide"]):
        assert study.lineages[f"point{number}"].guide.options == one["options"]
    # Another search has a folder of its own; this one is as it was.
    before = (folder / "trials.csv").read_bytes()
    assert frame.run([*words, "--budget", "2", "--search-seed", "1"]) == 0
    assert folder != Path(capsys.readouterr().out.strip().splitlines()[-1]).parent
    assert (folder / "trials.csv").read_bytes() == before


def _written(name, text):
    path = Path(f"config/{name}.yaml")
    path.write_text(text, encoding="utf-8")
    return path


@needs_optuna
def test_all_faults_are_said_at_once(tmp_path, monkeypatch, capsys):
    toy(tmp_path, monkeypatch)
    assert (
        frame.run(["guide", "toy", "--budget", "1", "--objective", "bogus", "--arm", "none", "--range", '{"x": 1}'])
        == 2
    )
    said = capsys.readouterr().err
    assert "--arm: found 'none'; allowed are arms whose model is sampled step by step: led" in said
    assert "--objective: found 'bogus'" in said and "--range: found 'x'" in said
    assert frame.run(["guide", "toy", "--budget", "1", "--guide", "cgf"]) == 2
    assert "cgf: there is no such guide (did you mean 'cfg'?); allowed: " in capsys.readouterr().err
    assert frame.run(["guide", "toy", "--budget", "1", "--guide", "fair,nothing,sims"]) == 2
    said = capsys.readouterr().err
    assert all(one in said for one in ("fair: needs classes", "nothing: there is no such guide", "sims: steers by"))
    same = ["--guide", "autoguidance", "--options", '{"autoguidance": {"auxiliary": {}}}', "--train"]
    assert frame.run(["guide", "toy", "--budget", "1", *same]) == 2
    assert "autoguidance: weak: its model is fitted by a formula, and another fit" in capsys.readouterr().err
    assert frame.run(["guide", "toy", "--budget", "1", "--generation", "0"]) == 2
    assert "model.safetensors: is not there, not made yet or thinned; run: collapselab run" in capsys.readouterr().err
    assert not Path("results/toy/report").exists()


DIGITS = """
name: seen
question: Which guide?
seed: 1
seeds: 1
generations: 1
control: none
data: {source: digits, split: {train: 200, held_out: 100, VALIDATION}}
models:
  tiny:
    diffusion:
      {preset: tiny, channels: 16, blocks: 1, images_seen: 512, classes: 10, label_dropout: 0.2, steps: 4}
initial: {real: 100}
samples: 100
extractors: [pixels]
metrics: [precision, recall, frechet_distance]
primary: {metric: recall, extractor: pixels}
arms: {own: {model: tiny, regime: fully_synthetic}}
"""


@needs_optuna
def test_pictures_are_searched_on_validation_rows_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    _written("seen", DIGITS.replace("VALIDATION", "fresh: 0"))
    assert frame.run(["guide", "seen", "--budget", "1"]) == 2
    said = capsys.readouterr().err
    assert "has no validation rows" in said and "data: {split: {validation: 200}}" in said
    _written("seen", DIGITS.replace("VALIDATION", "validation: 80"))
    study = studies.find("seen")
    for verb, place in in_process.in_order(study):
        if verb == "prepare" or (verb in ("compose", "train") and place.generation == 0):
            assert frame.run(in_process.words_of(study, verb, place)) == 0
    Path(study.part_file("held_out")).unlink()  # nothing is read by which a report measures
    words = ["guide", "seen", "--budget", "3", "--generation", "0", "--guide", "cfg,autoguidance", "--train"]
    told = []
    monkeypatch.setattr(work, "progress", lambda *said: nullcontext(lambda done, loss: told.append((*said, done))))
    assert frame.run(words) == 0
    out = capsys.readouterr().out
    assert told[-1] == ("guide seen", 3, bool, "trials", 3), told
    found = front_in(out)
    assert found["objectives"] == list(objectives.DEFAULT) and found["targets"]["vendi_score~real"] > 1
    assert found["searched"]["samples"] == 80
    assert found["searched"]["images_seen_beside"] == 64  # an eighth of the model's own
    assert "have seen 64 images" in out
    folder = Path(out.strip().splitlines()[-1]).parent
    sheet, points = Image.open(folder / "front.png"), [one for one in found["points"] if one["guide"]]
    wide = sheet.width - 10 * 34  # beside ten digits of 8 pixels, four times enlarged, with a rim
    written = np.asarray(sheet)[:, :wide].reshape(1 + len(points), -1, wide)
    assert wide > 50 and (written < 128).any(axis=(1, 2)).all()  # each row has its label
    [further] = Path("results/seen/report/guides/auxiliary").glob("weak-*.safetensors")
    before = further.stat().st_mtime_ns
    assert frame.run(words) == 0 and further.stat().st_mtime_ns == before  # not trained again
    assert store.recorded_hash(Path(study.part_file("validation"))) == found["searched"]["validation"]
