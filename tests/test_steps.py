"""The laws of what stands between two trainings, over the registries, and of strangers that break one of them."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field
from test_selectors import OPTIONS

from collapselab.adapt import ADAPTERS
from collapselab.adapt.base import Adapter
from collapselab.core.choice import Choice, From, NoOptions, Options
from collapselab.core.needs import Needs
from collapselab.guides import GUIDES
from collapselab.guides.base import Auxiliary, Guide
from collapselab.models.capabilities import Trainable, Weighted
from collapselab.models.tuning import tuned
from collapselab.rewards import REWARDS
from collapselab.rewards.base import Reward
from collapselab.select import SELECTORS
from collapselab.select.base import Selection, Selector
from collapselab.select.basic import ShareOptions, random
from collapselab.testing import check_adapter, check_guide, check_reward, check_selector, check_transform
from collapselab.transforms import TRANSFORMS
from collapselab.transforms.base import Transform

SOME = {"attribute": {"extractor": "identity", "least": 0.5}}
SAID = {
    "people": {"share": 0.3, "rule": "any"},
    "verifier": {"share": 0.3, "phi": 1.0, "psi": 0.9},
    "rarity": {"extractor": "identity", "share": 0.3},
    "quota": {"share": 0.3, "table": "even", "extractor": "lenet", "stops": False},
    "project": {"gamma": 1.0, "clusters": 2},
    "resize": {"side": 3},
    "resample": {"share": 0.5},
    "ewc": {"images_seen": 16, "batch": 8},
    "low_rank": {"images_seen": 16, "batch": 8},
    "distilled": {"images_seen": 16, "batch": 8, "samples": 4},
    "targeted": {"images_seen": 16, "extractor": "identity", "regions": 2, "k": 1, "samples": 4, "looks": 2},
    "neon": {"weight": 0.5, "images_seen": 16, "samples": 8},
    **{name: {"forget": {"class": 1}, "images_seen": 32, "batch": 16} for name in ("esd", "salun")},
    **{
        name: {"forget": SOME, "images_seen": 32, "batch": 16}
        for name in ("selective_amnesia", "erasediff", "ascent", "neggrad")
    },
    "uce": {"forget": {"class": 1}},
    "exact_deletion": {"forget": SOME},
    "retrained": {"forget": SOME},
    "ddpo": {"images_seen": 48, "samples": 8, "steps": 4, "reward": "brightness", "checks": 1},
    "rwr": {"images_seen": 32, "batch": 8, "samples": 8, "steps": 4, "rounds": 2, "reward": "brightness", "checks": 1},
    "draft": {"images_seen": 16, "batch": 8, "steps": 4, "last": 2, "reward": "coordinate", "checks": 1},
    "dpo": {"images_seen": 16, "batch": 8, "steps": 4, "samples": 16, "reward": "brightness", "checks": 1},
    "direct": {"images_seen": 16, "batch": 8, "reward": "coordinate", "checks": 1},
    "reweighted": {"images_seen": 16, "samples": 8, "reward": "brightness"},
    "dynamic_negative": {"negative": 1},
    "perp_neg": {"negative": 1},
    "deletion": {"negative": 1},
    "fair": {"classes": [0, 1]},
}
"""Options that have to be said; of other selectors they are those of test_selectors."""


def caught(words, check, entry, options=None):
    with pytest.raises(AssertionError) as law:
        check(entry, options)
    assert words in str(law.value)


# -- over the registries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SELECTORS)
def test_a_selector_keeps_its_contract(name):
    check_selector(name, SAID.get(name, OPTIONS[name]), ("good", "bad"))


@pytest.mark.parametrize(
    ("check", "registry"),
    [(check_transform, TRANSFORMS), (check_guide, GUIDES), (check_adapter, ADAPTERS)],
    ids=["transforms", "guides", "adapters"],  # rewards, some of which need a file: test_rewards
)
def test_every_other_entry_keeps_its_contract(check, registry):
    for name in registry:
        check(name, SAID.get(name))
    if check is check_adapter:  # a formula's, and where it chooses by validation rows
        check("neon", {"extractor": "identity", "level": 1})
        check("retrained", {"forget": {"class": 1}, "images_seen": 32})
        check("exact_deletion", {"forget": {"class": 1}})


# -- selectors ---------------------------------------------------------------------------------------------------------


def selection(rows, **parts):
    rows = np.asarray(rows, np.int64)
    found = {"scores": np.full(len(rows), np.nan), "reasons": ("so",) * len(rows), "judge": "somebody"}
    return Selection(rows, **(found | parts))


def unsorted(pool, options, seed):
    """Rows from the last to the first."""
    return selection(np.arange(len(pool))[::-1][: options.keeps(len(pool))])


def greedy(pool, options, seed):
    """All, whatever was said."""
    return selection(np.arange(len(pool)))


def moody(pool, options, seed):
    """Others each time."""
    rows = np.random.default_rng().permutation(len(pool))[: options.keeps(len(pool))]
    return selection(np.sort(rows))


def scribbling(pool, options, seed):
    """Kept, and spoilt."""
    pool.samples.data[:] = 0
    return random(pool, options, seed)


def silent(pool, options, seed):
    """Without a reason."""
    return replace(random(pool, options, seed), reasons=())


def liking(pool, options, seed):
    """The best by a reward."""
    liked = pool.scores["reward"] if len(pool) else np.empty(0)
    return selection(np.sort(np.argsort(-liked)[: options.keeps(len(pool))]))


class LikingOptions(ShareOptions):
    reward: Annotated[Choice, From("rewards")] = Field(Choice("any"), description="what is liked")


def test_a_selector_may_follow_a_reward_or_people(monkeypatch):
    monkeypatch.setitem(REWARDS, "any", Reward(NoOptions, liking))
    check_selector(Selector(LikingOptions, liking), {"share": 0.5})

    def votes(pool, options, seed):
        """The most votes."""
        count = np.bincount(pool.ballots.rows, [one == "yes" for one in pool.ballots.answers], minlength=len(pool))
        return selection(np.sort(np.argsort(-count, kind="stable")[: options.keeps(len(pool))]))

    check_selector(Selector(ShareOptions, votes, Needs(ballots=True, model=True)), {"share": 0.5})


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (unsorted, "do not rise; each is kept once"),
        (greedy, "its options say that it keeps 12 of 24 samples, it keeps 24"),
        (moody, "it is a function of pool, options and seed"),
        (scribbling, "it has changed the samples of images"),
        (silent, "0 reasons for 12 kept rows"),
    ],
)
def test_a_selector_that_breaks_a_law_is_caught(function, words):
    caught(words, check_selector, Selector(ShareOptions, function), {"share": 0.5})


def test_a_selector_needs_no_unknown_extractor_and_says_what_its_options_are():
    caught("it looks through nowhere", check_selector, Selector(ShareOptions, random, Needs(features=("nowhere",))))

    class Unsaid(ShareOptions):
        more: int = 1

    caught("the options more have no description", check_selector, Selector(Unsaid, random))


# -- rewards -----------------------------------------------------------------------------------------------------------


def largeness(samples, seen, options):
    """The mean of the first column's sign."""
    return np.sign(samples.data.reshape(len(samples), -1)[:, 0].astype(np.float64))


def relative(samples, seen, options):
    """How much better than the others."""
    return largeness(samples, seen, options) - largeness(samples, seen, options).mean()


def possibility(samples, seen, options):
    """What the known truth calls possible."""
    return seen["truth"].values[:, seen["truth"].names.index("possible")]


def test_a_reward_is_its_samples_own():
    check_reward(Reward(NoOptions, largeness))
    check_reward(Reward(NoOptions, possibility, Needs(features=("truth",))))
    caught("a number is its sample's own", check_reward, Reward(NoOptions, relative))


# -- transforms --------------------------------------------------------------------------------------------------------


def nothing(given, options, seed):
    """Nothing is done."""
    return given.samples


def reordered(given, options, seed):
    """In another order."""
    return replace(given.samples, data=given.samples.data[::-1].copy(), labels=given.samples.labels[::-1].copy())


def halved(given, options, seed):
    """Every second sample."""
    return replace(given.samples, data=given.samples.data[::2], labels=given.samples.labels[::2])


def spoilt(given, options, seed):
    """In place."""
    given.samples.data[:] = 0
    return given.samples


def test_a_transform_changes_samples_and_neither_their_number_nor_their_place():
    check_transform(Transform(NoOptions, nothing))
    caught("of shape (12, 3, 16, 16), asked are uint8 images", check_transform, Transform(NoOptions, halved))
    caught("the labels of its images are others", check_transform, Transform(NoOptions, reordered))
    caught("it has changed the images that it was given", check_transform, Transform(NoOptions, spoilt))
    caught("does the same with another one", check_transform, Transform(NoOptions, nothing, Needs(key=True)))

    def narrowed(given, options, seed):
        """In single precision."""
        data = given.samples.data
        return replace(given.samples, data=data.astype(np.float32) if data.dtype == np.float64 else data)

    def dicey(given, options, seed):
        """By dice of its own."""
        return replace(given.samples, data=np.random.default_rng().permuted(given.samples.data, axis=0))

    def spoiling(given, options, seed):
        """The training split, in place."""
        given.train.data[:] = 0
        return given.samples

    def unlabelled(given, options, seed):
        """Without labels."""
        return replace(given.samples, labels=None)

    caught("it gave float32 vectors of shape", check_transform, Transform(NoOptions, narrowed, takes=("vectors",)))
    caught("asked twice with one seed it gives other", check_transform, Transform(NoOptions, dicey))
    caught("which are not its own", check_transform, Transform(NoOptions, spoiling, Needs(train=True)))
    caught("are others than those it was given", check_transform, Transform(NoOptions, unlabelled))
    caught("it relabels, and gave no whole number", check_transform, Transform(NoOptions, unlabelled, relabels=True))


# -- guides ------------------------------------------------------------------------------------------------------------


class WeightOptions(Options):
    weight: float = Field(1.0, description="how far")


def moved(seen, at, state, draws, options):
    """Classifier-free guidance with a little noise, and a memory of the last step."""
    step = options.weight * (seen.conditional - seen.unconditional) + 0.01 * draws()
    return seen.conditional + step + (0 if state is None else 0.1 * state), step


def average(seen, at, state, draws, options):
    """Towards the mean of the batch."""
    return seen.conditional - seen.conditional.mean(0), None


def in_place(seen, at, state, draws, options):
    """In place."""
    return seen.conditional.mul_(2), None


def narrow(seen, at, state, draws, options):
    """In less precision."""
    return seen.conditional.float(), None


def test_a_guide_steers_each_row_by_its_own_predictions():
    check_guide(Guide(WeightOptions, moved, ("conditional", "unconditional")))
    further = Guide(
        WeightOptions,
        lambda seen, at, state, draws, options: (seen.conditional + seen.others["weak"], None),
        auxiliary=lambda options, images_seen: {"weak": Auxiliary("training", images_seen // 10)},
    )
    caught("its function has no docstring", check_guide, further)
    caught("are steered by the rows beside them", check_guide, Guide(WeightOptions, average))
    caught("it has changed what it was shown", check_guide, Guide(WeightOptions, in_place))
    caught("asked is torch.float64", check_guide, Guide(WeightOptions, narrow))
    bad = Guide(WeightOptions, moved, auxiliary=lambda options, images_seen: {"Own": Auxiliary("own", 5, 5)})
    caught("the role 'Own' is no lower-case word", check_guide, bad)
    bad = Guide(WeightOptions, moved, auxiliary=lambda options, images_seen: {"own": Auxiliary("own", 5)})
    caught("own samples of 'own': 0", check_guide, bad)


# -- adapters ----------------------------------------------------------------------------------------------------------


def longer(model, given, options, run):
    """Trained on with its own training set and some own samples."""
    own = given.own(len(given.training) // 4, 0)
    assert len(own) and len(given.ancestors) == 2
    return tuned(model, given.training, run)


def shifting(model, given, options, run):
    """In place."""
    for array in model.weights().values():
        array += 1
    return model


def drifting(model, given, options, run):
    """Others each time."""
    dice = np.random.default_rng()
    return model.with_weights({name: array + dice.exponential() for name, array in model.weights().items()})


def seen_by(options):
    return 32


def test_an_adapter_gives_another_model_and_leaves_the_first_as_it_was():
    check_adapter(Adapter(NoOptions, longer, seen_by, (Trainable,), Needs(ancestors=2), ("vectors",)))
    changing = Adapter(NoOptions, shifting, seen_by, (Weighted,), takes=("vectors",))
    caught("of the model that it was given, which is not its own", check_adapter, changing)
    caught("other bits of", check_adapter, replace(changing, adapt=drifting))
    caught("it sees 1.5 images", check_adapter, replace(changing, images=lambda options: 1.5))
