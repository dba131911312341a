"""Whoever breaks a law of ``collapselab.testing`` is caught by it, in a sentence that says what was found.

Each stranger below is an entry of ours with one fault.
"""

import subprocess
import sys
from dataclasses import fields, replace
from typing import Annotated, ClassVar

import numpy as np
import pytest
from pydantic import Field

from collapselab import testing
from collapselab.compose.regimes import REGIMES
from collapselab.core import seeds
from collapselab.core.errors import Undefined
from collapselab.core.needs import Needs
from collapselab.core.run import Run
from collapselab.core.sets import SampleSet, TrainingSet
from collapselab.data.archive import DatasetZip
from collapselab.data.export import export_zip
from collapselab.features import Extractor, Features
from collapselab.features.plain import pixels
from collapselab.metrics import Metric, variance_ratio
from collapselab.models import MODELS
from collapselab.models.arrays import no_curve
from collapselab.models.box import Box, BoxOptions
from collapselab.models.stored import Stored
from collapselab.populations.gaussians import Gaussians
from collapselab.testing import (
    capabilities,
    check_dataset,
    check_extractor,
    check_family,
    check_metric,
    check_population,
    check_preset,
    check_score,
)
from collapselab.testing.families import training_set


def caught(words, check, *given, **options):
    """The sentence with which a check ends, in which the words have to be."""
    with pytest.raises(AssertionError) as found:
        check(*given, **options)
    assert words in str(found.value), found.value


def test_what_is_right_is_let_pass_by_class_or_name(tmp_path):
    check_family(Box)
    check_family("box", options={"share": 0.5})
    check_population(Gaussians, {"modes": 4})
    check_metric(Metric(variance_ratio, "Variance", None), on_itself=1.0)
    check_extractor(Extractor(pixels), data=np.random.default_rng(0).integers(0, 256, (9, 1, 4, 4), np.uint8))
    check_preset(REGIMES["k_memory"], k=2)


def test_it_asks_for_no_pytest_and_says_the_same_without_asserts():
    code = (
        "import sys; from collapselab.testing import check_family; from collapselab.models.box import Box\n"
        "class Vague(Box):\n    takes = ('smells',)\n"
        "try:\n    check_family(Vague)\nexcept AssertionError as error:\n    print('pytest' in sys.modules, error)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        "False vague: takes is smells; asked are some of images, vectors, categories, sequences"
    )


def test_every_check_says_what_it_takes():
    assert all(getattr(testing, name).__doc__ for name in dir(testing) if name.startswith("check_"))


# -- families ----------------------------------------------------------------------------------------------------------


class CutMatters(Box):
    """Rows from one generator a call."""

    def sample(self, ask):
        whole = super().sample(ask)
        return SampleSet(whole.data + np.random.default_rng([ask.seed, ask.count]).random())


class SeedIgnored(Box):
    """The same samples for every seed."""

    def sample(self, ask):
        return super().sample(replace(ask, seed=0))


class LooseChance(Box):
    """A fit with chance of its own."""

    @classmethod
    def fit(cls, training, options, run, init=None):
        model = super().fit(training, options, run)
        return cls(options, model.low - np.random.default_rng().random(), model.high)


class Writes(Box):
    """A fit that sorts its training set in place."""

    @classmethod
    def fit(cls, training, options, run, init=None):
        training.data.sort(axis=0)
        return super().fit(training, options, run)


class Forgets(Box):
    """Corners that are stored with fewer digits."""

    def stored(self):
        rounded = {"low": self.low.astype(np.float32), "high": self.high.astype(np.float32)}
        return Stored(rounded | no_curve())


class Heavy(Box):
    """A plan that is wrong by a factor."""

    @classmethod
    def stored_bytes(cls, options, shape, rows):
        return 16 * shape[0] * rows


class Obedient(Box):
    """It refuses nothing."""

    def sample(self, ask):
        return SampleSet(
            self.low + (self.high - self.low) * seeds.uniforms(ask.seed, ask.start, ask.count, len(self.low))
        )


class Bent(Box):
    """A bias that makes no numbers."""

    bias: ClassVar = "narrower"

    def sample(self, ask):
        found = super().sample(ask)
        return found if ask.bias == 1 else SampleSet(found.data / 0)


class Crowded(Box):
    """A likelihood of a row among others."""

    def log_likelihood(self, data, seed, **rest):
        return super().log_likelihood(data, seed) - data.mean()


class Wide(Box):
    """Moments of another law."""

    def moments(self):
        mean, covariance = super().moments()
        return mean, 1.3 * covariance


class Askew(Box):
    """A covariance that is none."""

    def moments(self):
        mean, covariance = super().moments()
        return mean, covariance + np.triu(np.ones_like(covariance), 1)


class Swallows(Box):
    """A fit to numbers that are not finite."""

    @classmethod
    def fit(cls, training, options, run, init=None):
        return super().fit(TrainingSet(np.nan_to_num(training.data), None, training.weights), options, run)


class Scrawl(BoxOptions):
    """An option that nobody explains."""

    depth: int = 3


class Undescribed(Box):
    """A family with such an option."""

    Options: ClassVar = Scrawl


class Open(BoxOptions):
    """An option without a default."""

    depth: int = Field(description="how deep")


class Unsettled(Box):
    """A family that does not say what may be tried."""

    Options: ClassVar = Open


class Headless(Box):
    """A model that has lost its sampler's shape."""

    @property
    def shape(self):
        return (*self.low.shape, 1)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(
    ("family", "words"),
    [
        (CutMatters, "samples 0 .. 2 of seed 11, asked for alone, are others than among 20"),
        (SeedIgnored, "seeds 11 and 12 gave the same samples"),
        (LooseChance, "two fits with one seed differ in 'low'"),
        (Writes, "fit has changed the training set"),
        (Forgets, "read from its file it samples otherwise"),
        (Heavy, "stored_bytes says 2560, the arrays have 64"),
        (Obedient, "a sampling bias of 0.0: it was taken; asked is a ValueError that names 'sampling_bias'"),
        (Bent, "with a sampling bias of 0.5 its samples are no more float64 of shape (3, 4), all finite"),
        (Crowded, "the log_likelihood of a row hangs from the rows beside it"),
        (Wide, "the covariance of 4000 samples is over 6 standard errors away"),
        (Askew, "the covariance is not symmetric"),
        (Swallows, "a training row of numbers that are not finite: it was taken; asked is a Diverged"),
        (Undescribed, "the options depth have no description"),
        (Unsettled, "Options.smallest('vectors') is {}, which are no options of it"),
        (Headless, "the model's shape is (4, 1), that of the samples it was fitted to is (4,)"),
    ],
)
def test_a_family_that_breaks_a_law_is_caught(family, words):
    caught(words, check_family, family)


def test_options_that_suit_nothing_are_said():
    with pytest.raises(ValueError, match="share"):
        check_family(Box, options={"share": 5})
    vectors = TrainingSet(np.random.default_rng(0).normal(size=(20, 2)), None, np.ones(20))
    caught("the options suit none of the kinds", check_family, "vae", options={"network": "conv"}, data=vectors)


# -- what some can do beside -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def denoising():
    """A model that can most of it, fitted for a moment, and what it was fitted to."""
    training, kind = training_set("images"), MODELS["diffusion"]
    options = kind.Options.model_validate(kind.Options.smallest("images"))
    return kind.fit(training, options, Run(0, images_seen=64)), training


class Instead:
    """A model of which some methods are others."""

    def __init__(self, model, **methods):
        self.model, self.methods = model, methods

    def __getattr__(self, name):
        methods = self.__dict__["methods"]
        return methods[name] if name in methods else getattr(self.model, name)


def test_labels_that_are_not_heard_or_move_others_are_caught(denoising):
    model, training = denoising
    capabilities.check_conditions("right", model, training)

    def deaf(ask):
        return model.sample(replace(ask, condition=None))

    def moved(ask):
        found = model.sample(ask)
        return found if ask.condition is None else replace(found, data=found.data + np.uint8(ask.condition.sum() % 3))

    def trusting(ask):
        inside = None if ask.condition is None else np.resize(np.abs(ask.condition), ask.count).astype(np.int64) % 2
        return model.sample(replace(ask, condition=inside))

    for sample, words in (
        (deaf, "asked for labels [1, 1, 0"),
        (moved, "told the labels that it would take it gives other samples"),
        (trusting, "two samples of the labels [0, 2], where it knows 0 and 1: it was taken"),
    ):
        caught(words, capabilities.check_conditions, "wrong", Instead(model, sample=sample), training)


def test_weights_that_are_not_exchanged_or_not_checked_are_caught(denoising):
    model, training = denoising
    capabilities.check_weighted("right", model, training)

    class Kept(type(model)):
        def with_weights(self, weights):
            return self

    class Rounded(type(model)):
        def with_weights(self, weights):
            return super().with_weights({name: np.round(array, 3) for name, array in weights.items()})

    parts = {one.name: getattr(model, one.name) for one in fields(model)}
    check = capabilities.check_weighted
    caught("with other weights it gives the same samples", check, "kept", Kept(**parts), training)
    caught("with its own weights it samples otherwise", check, "some", Rounded(**parts), training)


def test_denoisers_tasks_and_counts_that_are_none_are_caught(denoising):
    model, training = denoising

    def denoiser(levels, denoise):
        def made(where):
            right = model.denoiser(where)
            given = {"levels": levels or right.levels, "__call__": lambda self, x, *rest: denoise(right(x, *rest))}
            return type("Denoiser", (), given)()

        return Instead(model, denoiser=made)

    check = capabilities.check_denoises
    caught("asked are 0 < lowest < highest", check, "turned", denoiser((80.0, 0.1), lambda rows: rows), training)
    caught("asked are finite float64", check, "narrow", denoiser(None, lambda rows: rows.float()), training)
    caught("hangs from the rows beside it", check, "mixed", denoiser(None, lambda rows: rows - rows.mean(0)), training)

    def idle(*given):
        return Instead(model.task(*given), phases=())

    caught("its task has no phase", capabilities.check_trainable, "idle", Instead(model, task=idle), training)

    class Free(Instead):
        @staticmethod
        def flops_per_image(options, shape):
            return {"training": 0.0, "sampling": 1.0}

    caught("both above 0", capabilities.check_counts, "free", Free(model), training)


# -- metrics -----------------------------------------------------------------------------------------------------------


def metric(function, **said):
    return Metric(function, "Mean", None, **said)


def checked(real, fake):
    real, fake = Features.of(real), Features.of(fake)
    real.require(2, "real")
    fake.require(2, "fake")
    return real, fake


def good(real, fake, *, power: Annotated[float, Field(gt=0)] = 1.0):
    """The difference of means, to a power."""
    real, fake = checked(real, fake)
    return float(abs(float(fake.values.mean()) - float(real.values.mean())) ** power)


def writes(real, fake):
    """It centres in place."""
    real, fake = checked(real, fake)
    value = good(real, fake)
    if isinstance(fake.values, np.ndarray):
        fake.values[:] -= fake.values.mean(axis=0)
    return value


def first_row(real, fake):
    """The first row counts."""
    real, fake = checked(real, fake)
    return good(real, fake) + float(fake.values[0, 0])


def moody(real, fake):
    """It is never the same."""
    return good(real, fake) + float(np.random.default_rng().random())


def narrow(real, fake):
    """Sums in the numbers' own type, of which a few digits are left."""
    real, fake = checked(real, fake)
    return float((fake.values + 1e5).mean() - (real.values + 1e5).mean())


def trusting(real, fake):
    """It looks at nothing before it computes."""
    real, fake = Features.of(real), Features.of(fake)
    return float(fake.values[0:1].mean() * 0 + real.values.mean() - fake.values.mean())


def crashes(real, fake):
    """A traceback of few rows."""
    real, fake = Features.of(real), Features.of(fake)
    if not len(real):
        raise IndexError("index 0 is out of bounds")
    return good(real, fake)


def nameless(real, fake):
    """It says not which side."""
    try:
        return good(real, fake)
    except Undefined:
        raise Undefined("too few rows") from None


def typed(real, fake):
    """A float of numpy."""
    return np.float64(good(real, fake))


def wrong_default(real, fake, *, power: Annotated[float, Field(gt=0)] = 0.0):
    """A default that a study may not write."""
    return good(real, fake)


def test_a_good_metric_passes():
    check_metric(metric(good), on_itself=0.0)
    features = tuple(Features(np.random.default_rng(seed).normal(size=(60, 3))) for seed in (0, 1))
    check_metric(metric(good, extractors=("somebodys",)), features)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (writes, "it has changed the values of fake"),
        (first_row, "rows have no order"),
        (moody, "the second time; all chance comes from a fixed seed"),
        (narrow, "have to be taken in float64"),
        (trusting, "with no rows as real it gave nan; asked is Undefined"),
        (crashes, "with no rows as real it raised IndexError: index 0 is out of bounds; asked is Undefined"),
        (nameless, "with no rows as real it says 'too few rows'; it has to name the side"),
        (typed, "it gave a float64, asked is a float"),
        (wrong_default, "its own defaults do not go with its annotations"),
        (lambda real, fake: 1.0, "its function has no docstring"),
    ],
)
def test_a_metric_that_breaks_a_law_is_caught(function, words):
    caught(words, check_metric, metric(function))


def test_a_metric_whose_value_on_itself_is_another_is_caught():
    caught("of a copy of the real samples it gave 0.0, asked is 1.0", check_metric, metric(good), on_itself=1.0)


def test_a_metric_of_a_strangers_extractor_needs_its_features():
    with pytest.raises(ValueError, match="nobody here knows what somebodys makes of samples"):
        check_metric(metric(good, extractors=("somebodys",)))


def test_a_score_that_hangs_from_its_batch_is_caught():
    def ranked(real, fake):
        """The rank among the fakes."""
        return fake.values[:, 0].argsort().argsort().astype(np.float64)

    caught("the score of a sample hangs from the samples beside it", check_score, metric(ranked))


# -- extractors --------------------------------------------------------------------------------------------------------


def normalised(data, weights=None):
    """Numbers of a batch."""
    rows = pixels(data).values
    return Features(rows - rows.mean(axis=0))


def unpadded(data, weights=None):
    """Batches of 64, of which the last is shorter and seen otherwise."""
    rows = pixels(data).values
    return Features(
        rows * np.where(np.arange(len(rows)) < len(rows) // 64 * 64, 1, 1 + 1e-6).astype(np.float32)[:, None]
    )


def ordered(data, weights=None):
    """The place of a sample is in its features."""
    return Features(pixels(data).values + np.arange(len(data))[:, None] / 100)


def thinned(data, weights=None):
    """Every second sample."""
    return Features(pixels(data).values[::2])


def scribbles(data, weights=None):
    """It writes in the samples."""
    data[:, 0] = 0
    return pixels(data)


def endless(data, weights=None):
    """The logarithm of black is none."""
    with np.errstate(divide="ignore"):
        return Features(np.log(data.reshape(len(data), -1).astype(np.float64)))


def omnivorous(data, weights=None):
    """It makes something of anything."""
    return Features(np.asarray(data, np.float64).reshape(len(data), -1)[:, :1])


def silent(data, weights=None):
    """Classes of which the entry says nothing."""
    return replace(pixels(data), classes=np.zeros(len(data), np.int64))


@pytest.mark.parametrize(
    ("extractor", "words"),
    [
        (Extractor(normalised), "values of the first 1 samples are others than among 300"),
        (Extractor(unpadded), "(batches have a fixed size, and are padded)"),
        (Extractor(ordered), "in another order the samples have other features"),
        (Extractor(thinned), "of 300 samples it gave 150 rows, asked is one each"),
        (Extractor(scribbles), "it has changed the samples"),
        (Extractor(endless), "its values are not all finite"),
        (Extractor(omnivorous), "vectors, which are not among what it takes: it was taken; asked is a ValueError"),
        (Extractor(silent), "it gave classes beside values, the entry says none"),
        (Extractor(pixels, gives=("probabilities",)), "it gave none beside values, the entry says probabilities"),
        (Extractor(pixels, statistic=True), "columns of a statistic are found by name, and have none"),
        (Extractor(pixels, needs=Needs("learnt")), "it looks through learnt, and has no train"),
        (Extractor(pixels, needs=Needs("published")), "it looks through published, and published is ''"),
        (Extractor(pixels, facts={"batch": {1}}), "do not survive JSON"),
        (Extractor(pixels, needs=Needs("published", "somebodys")), "nobody here has: give weights"),
    ],
)
def test_an_extractor_that_breaks_a_law_is_caught(extractor, words):
    caught(words, check_extractor, extractor)


# -- known truths ------------------------------------------------------------------------------------------------------


class Lopsided(Gaussians):
    """Masses that are wrong by a tenth."""

    @property
    def masses(self):
        return super().masses * np.where(np.arange(len(super().masses)) % 2, 1.1, 0.9)


class Lenient(Gaussians):
    """Nothing is impossible."""

    def judge(self, data):
        found = super().judge(data)
        return found._replace(possible=np.ones(len(data), bool), cell=found.cell.clip(0))


class Running(Gaussians):
    """Draws that hang from where one begins."""

    def sample(self, ask):
        return super().sample(replace(ask, seed=ask.seed + ask.start))


@pytest.mark.parametrize(
    ("population", "words"),
    [
        (Lopsided, "its masses ask for"),
        (Lenient, "what is not finite, far away, or blank is called possible"),
        (Running, "samples 3 .. 11 of seed 11, asked for alone, are others"),
    ],
)
def test_a_known_truth_that_breaks_a_law_is_caught(population, words):
    caught(words, check_population, population)


# -- data sets ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), np.uint8)
    export_zip(SampleSet(images, np.arange(6)), tmp_path / "six.zip")
    return tmp_path / "six.zip"


class Miscounts(DatasetZip):
    """One more than there are."""

    def count(self):
        return super().count() + 1


class Careless(DatasetZip):
    """It does not look whether anything is there."""

    def check(self):
        return []


class Restless(DatasetZip):
    """Read twice it is not the same."""

    def read(self):
        images, labels = super().read()
        order = np.random.default_rng().permutation(len(images))
        return images[order], labels[order]


class Greedy(DatasetZip):
    """Counts what it has read."""

    def count(self):
        return len(self.read()[0])


class Modest(DatasetZip):
    """Has more than it says that it has at most."""

    def at_most(self):
        return super().at_most() - 1


class Mislabelled(DatasetZip):
    """Says other labels than it has."""

    def label_counts(self):
        return {0: self.count()}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Miscounts, "count says 7, load read 6 images"),
        (Careless, "where nothing lies check says []; asked is a message that begins with 'path: '"),
        (Restless, "read twice it is not the same"),
        (Greedy, "a plan has read all samples; asked are headers, lengths and labels"),
        (Modest, "at_most says 5, load read 6: it has to be as many or more"),
        (Mislabelled, "label_counts says {0: 6}, load read {0: "),
    ],
)
def test_a_data_set_that_breaks_a_law_is_caught(kind, words, archive, monkeypatch):
    monkeypatch.setattr("collapselab.testing.datasets.DATASETS", {})  # it is nobody's yet
    caught(words, check_dataset, kind(path=archive))


def test_a_data_set_that_reads_something_else_is_caught(archive):
    check_dataset(DatasetZip(path=archive), labels=np.arange(6))
    caught("it read the labels", check_dataset, DatasetZip(path=archive), labels=np.arange(6)[::-1])
    caught("it read other images", check_dataset, DatasetZip(path=archive), images=np.zeros((6, 1, 8, 8), np.uint8))


# -- presets -----------------------------------------------------------------------------------------------------------


def test_a_preset_that_breaks_a_law_is_caught():
    def unsaid(n: int, initial: int):
        return REGIMES["real_only"](n=n, initial=initial)

    def empty(n: int | dict[int, int], initial: int):
        """No rows at all."""
        return REGIMES["real_only"](n=0, initial=initial)

    def halves(n: int, initial: int):
        """A number of rows that is never a schedule."""
        return REGIMES["real_only"](n=n, initial=initial)

    def other(rows: int):
        """Words of its own."""
        return REGIMES["real_only"](n=rows, initial=rows)

    def larger(n: int | dict[int, int], initial: int):
        """More real rows than the study says."""
        return REGIMES["real_only"](n=n, initial=initial + 1)

    caught("its function has no docstring", check_preset, unsaid)
    caught("it says", check_preset, halves)
    caught("it has to take n, the size of a training set, and initial", check_preset, other)
    caught("generation 0 has 81 rows, initial says 80", check_preset, larger)
    caught("has no rows", check_preset, empty)
