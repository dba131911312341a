"""The laws of what stands between two trainings: adapters, guides, transforms and selectors."""

import copy
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pydantic import BaseModel

from ..adapt import ADAPTERS
from ..adapt.base import Adapted, Adapter
from ..adapt.base import Given as Shown
from ..core.ask import Ask
from ..core.choice import nested
from ..core.kinds import KINDS, KindName, kind_of
from ..core.run import Run
from ..core.sets import Ballots, KeptTable, SampleSet, Seen
from ..engine.steering import Level, Predictions
from ..features import FEATURES
from ..guides import GUIDES
from ..guides.base import Guide
from ..models.capabilities import Weighted
from ..rewards import REWARDS
from ..rewards.asking import looked_through
from ..rewards.base import Reward
from ..select import SELECTORS
from ..select.base import Pool, Selection, Selector, SelectorOptions, Twin
from ..store.cells import Cell
from ..transforms import TRANSFORMS
from ..transforms.base import Given, Transform
from ..verbs.adapt import own_samples
from .extractors import samples, small_weights
from .families import small_model, training_set
from .said import described, differing, entry_of, law, named, same

ROWS = 24  # that are selected from, changed and steered
FUNCTIONS = ("select", "transform", "rule", "adapt", "reward")  # what an entry does, by its kind
ROUNDING = 1e-9  # by which a row may be other among others, where a rule computes in another order


def check_selector(
    selector: Any, options: Mapping[str, Any] | None = None, answers: tuple[str, ...] = ("yes", "no")
) -> None:
    """Hold a selector to its contract (:class:`~collapselab.select.base.Selector`) on a few samples of each kind.

    It is a pure function of the pool, its options and the seed; it keeps rows that are there, in their order, each
    once, and as many as its options say beforehand, or fewer; it says of each why; it is satisfied with what its
    ``needs`` and its options name, and keeps nothing of nothing. Every second
    row of a pool is a pool, too.

    selector: the entry, or its name. options: those that have to be said. answers: what people may answer, for one that
    needs ballots. Raises AssertionError for the first law that is broken.
    """
    name, entry = entry_of(selector, SELECTORS)
    chosen = _checked(name, entry, Selector, options)
    law(isinstance(chosen, SelectorOptions), f"{name}: its options are no SelectorOptions, which say how many it keeps")
    for kind in entry.takes:
        pool = _pool(entry, chosen, kind, answers)
        if pool is None:
            continue  # an extractor that it looks through does not take this kind
        before = copy.deepcopy((pool.samples.data, pool.ballots))
        selection, again = (entry.select(pool, chosen, 5) for _ in range(2))
        law(same(pool.samples.data, before[0]), f"{name}: it has changed the samples of {kind}, which are not its own")
        _check_selection(name, selection, len(pool), chosen.keeps(len(pool)))
        alike = same(selection.rows, again.rows) and same(selection.scores, again.scores)
        law(
            alike,
            f"{name}: asked twice with one seed it keeps other {kind}; it is a function of pool, options and seed",
        )
        if pool.twin is None:  # whose rows are those of another pool
            half = np.arange(0, len(pool), 2)
            _check_selection(name, entry.select(pool.of(half), chosen, 5), len(half), chosen.keeps(len(half)))
        nothing = replace(pool, samples=SampleSet(pool.samples.data[:0]), seen={}, scores={})
        nothing = replace(nothing, ballots=_ballots(0, answers, entry))
        law(len(entry.select(nothing, chosen, 5).rows) == 0, f"{name}: of no {kind} it keeps some")


def check_reward(
    reward: Any,
    options: Mapping[str, Any] | None = None,
    data: np.ndarray | None = None,
    weights: Mapping[str, Any] | None = None,
) -> None:
    """Hold a reward to its contract (:class:`~collapselab.rewards.base.Reward`) on a few samples of each kind.

    It gives each sample a number of its own, whatever stands beside it and in whatever order, the same each time, and
    leaves the samples as they are. data: 24 samples or more, in the place of ours, which are colour images of 16 x 16
    pixels, planar vectors and categories 0 .. 4. weights: by extractor, what it looks with, where it is a published
    network. Other arguments and errors as for :func:`check_selector`.
    """
    name, entry = entry_of(reward, REWARDS)
    chosen = _checked(name, entry, Reward, options)
    for kind in entry.takes if data is None else [kind_of(data)]:
        found = _seen_by(looked_through(entry, chosen), kind, weights, data)
        if found is None:
            continue  # an extractor that it looks through does not take this kind
        rows, looks = found
        given, before = rows[:ROWS], rows[:ROWS].copy()
        score = partial(_scored_by, entry, chosen, looks)
        whole, few, turned = (score(SampleSet(some)) for some in (given, given[: ROWS // 2], given[::-1]))
        law(same(given, before), f"{name}: it has changed the {kind} that it was given, which are not its own")
        law(np.isfinite(whole).all(), f"{name}: its numbers are not all finite")
        law(same(whole, score(SampleSet(given))), f"{name}: asked twice it gives the same {kind} other numbers")
        off = max(np.abs(whole[: ROWS // 2] - few).max(), np.abs(whole[::-1] - turned).max())
        law(
            off <= ROUNDING * max(1, np.abs(whole).max()),
            f"{name}: {kind} are worth more or less by {off:.2g} among others; a number is its sample's own",
        )


def _scored_by(entry: Reward, options: Any, looks: Mapping[str, Any], pool: SampleSet) -> np.ndarray:
    return entry.reward(pool, {one: look(pool.data) for one, look in looks.items()}, options)


def check_transform(transform: Any, options: Mapping[str, Any] | None = None) -> None:
    """Hold a transform to its contract (:class:`~collapselab.transforms.base.Transform`) on samples of each kind.

    The same rows come out in the same order, of the same kind, shape and type, with their labels unless it
    ``relabels``, which then is one whole number a row; it is a pure function of what it ``needs`` and is handed, the
    samples, the training split and the seed, and leaves all of them as they are; and one that needs a key does
    something else with another one. Arguments and errors as for :func:`check_selector`.
    """
    name, entry = entry_of(transform, TRANSFORMS)
    chosen = _checked(name, entry, Transform, options)
    for kind in entry.takes:
        found = _seen_by(looked_through(entry, chosen), kind)
        if found is None:
            continue  # an extractor that it looks through does not take this kind
        rows, looks = found
        data, train = rows[:ROWS], rows[ROWS:]
        pool, split = (SampleSet(part, np.arange(ROWS) % 3) for part in (data, train))
        seen = {one: Seen(look(data), look(train)) for one, look in looks.items()}
        before, key = copy.deepcopy((pool, split)), bytes(range(32)) if entry.needs.key else None
        given = Given(pool, seen, split if looks or entry.needs.train else None, key)
        changed, again = (entry.transform(given, chosen, 5) for _ in range(2))
        for own, kept in zip((pool, split), before, strict=True):
            left = same(own.data, kept.data) and same(own.labels, kept.labels)
            law(left, f"{name}: it has changed the {kind} that it was given, which are not its own")
        _check_changed(name, entry, changed, pool)
        alike = same(changed.data, again.data) and same(changed.labels, again.labels)
        law(alike, f"{name}: asked twice with one seed it gives other {kind}")
        if key is not None:
            other = entry.transform(given._replace(key=bytes(32)), chosen, 5)
            law(not same(changed.data, other.data), f"{name}: it needs a key, and does the same with another one")


def _check_changed(name: str, entry: Transform, changed: SampleSet, pool: SampleSet) -> None:
    """Hold that what a transform gives are the rows of a pool in all but their contents."""
    found, asked = (f"{one.data.dtype} {one.kind} of shape {one.data.shape}" for one in (changed, pool))
    law(found == asked, f"{name}: it gave {found}, asked are {asked}")
    law(np.isfinite(changed.data).all(), f"{name}: it gave {pool.kind} that are not finite")
    if not entry.relabels:
        law(
            same(changed.labels, pool.labels),
            f"{name}: the labels of its {pool.kind} are others than those it was given",
        )
        return
    labels = np.asarray(changed.labels)
    whole = labels.dtype == np.int64 and labels.shape == (len(pool),) and labels.min() >= 0
    law(whole, f"{name}: it relabels, and gave no whole number from 0 for each of {len(pool)} {pool.kind}")


def check_guide(guide: Any, options: Mapping[str, Any] | None = None) -> None:
    """Hold a guide to its contract (:class:`~collapselab.guides.base.Guide`), at three levels one after the other.

    What it gives has the form of what it was shown, which it leaves as it is; a row hangs from its own predictions, its
    own state and its own draws, whatever rows stand beside it; what it makes of conditions likewise; with its neutral
    options it changes nothing; and the further models that it asks for have a role that a file can be called by, and a
    budget. Arguments and errors as for :func:`check_selector`.
    """
    name, entry = entry_of(guide, GUIDES)
    chosen = _checked(name, entry, Guide, options)
    further = entry.auxiliary(chosen, 1000)
    for role, one in further.items():
        law(re.fullmatch(r"[a-z0-9_]+", role), f"{name}: the role {role!r} is no lower-case word")
        law(one.images_seen > 0, f"{name}: the model {role!r} sees {one.images_seen} images; asked is a budget")
        law((one.on == "own") == (one.samples > 0), f"{name}: own samples of {role!r}: {one.samples}, on {one.on!r}")
    for kind in entry.takes:
        whole, half = (_steered(name, entry, chosen, kind, list(further), slice(0, rows)) for rows in (ROWS, ROWS // 2))
        for step, (all_rows, few) in enumerate(zip(whole, half, strict=True)):
            off = np.abs(all_rows[: ROWS // 2] - few).max()
            law(off <= ROUNDING, f"{name}: at step {step} {kind} are steered by the rows beside them, by {off:.2g}")
        if entry.neutral is not None:
            said = entry.Options.model_validate(chosen.model_dump(exclude_unset=True) | dict(entry.neutral))
            plain = _steered(name, entry, said, kind, list(further), slice(0, ROWS), shown=True)
            off = np.abs(plain).max()
            law(off <= ROUNDING, f"{name}: with {dict(entry.neutral)} it changes {kind}, by {off:.2g}")
    if entry.changes is not None:
        whole, half = (_told(name, entry, chosen, slice(0, rows)) for rows in (ROWS, ROWS // 2))
        off = np.abs(whole[:, : ROWS // 2] - half).max()
        law(off <= ROUNDING, f"{name}: what the model is told of a row hangs from the rows beside it, by {off:.2g}")


def check_adapter(adapter: Any, options: Mapping[str, Any] | None = None) -> None:
    """Hold an adapter to its contract (:class:`~collapselab.adapt.base.Adapter`) on a small model of each kind.

    It gives a model of the same family and shape, which can be stored; the same seed gives the same bits; the model
    that it was given stays what it was; and it says how many images it sees. Arguments and errors as for
    :func:`check_selector`.
    """
    name, entry = entry_of(adapter, ADAPTERS)
    chosen = _checked(name, entry, Adapter, options)
    images = entry.images(chosen)
    law(isinstance(images, int) and images >= 0, f"{name}: it sees {images!r} images; asked is a whole number")
    for kind in entry.takes:
        training = training_set(kind)
        if any(kind not in FEATURES[one].takes for one in looked_through(entry, chosen)):
            continue
        try:
            model = small_model(kind, training, entry.asks, trained=True)
        except LookupError:
            continue  # no family of ours can what it asks for with this kind
        before = {part: array.copy() for part, array in model.stored().tensors.items()}
        if entry.fault(type(model), chosen):
            continue  # its options are for another family
        given = _given(entry, chosen, kind, model, training)
        found = (entry.adapt(model, given, chosen, Run(5, images)) for _ in range(2))
        both = [one if isinstance(one, Adapted) else Adapted(one) for one in found]
        (adapted, facts), (again, _) = both
        law(json.loads(json.dumps(dict(facts))) == facts, f"{name}: what it says of its model is not as JSON has it")
        changed = differing(before, model.stored().tensors)
        law(changed is None, f"{name}: it has changed {changed} of the model that it was given, which is not its own")
        law(
            type(adapted) is type(model), f"{name}: it gave a {type(adapted).__name__}, asked is the model's own family"
        )
        law(adapted.shape == model.shape, f"{name}: it gave a model of {adapted.shape}, asked is {model.shape}")
        other = differing(adapted.stored().tensors, again.stored().tensors)
        law(other is None, f"{name}: with one seed it gives other bits of {other}")
        loaded = type(model).load(adapted.stored(), adapted.options)
        if isinstance(loaded, Weighted):
            lost = differing(loaded.weights(), adapted.weights())
            law(lost is None, f"{name}: stored and loaded, {lost} of its model is another")


# -- what they are handed ----------------------------------------------------------------------------------------------


def _checked(name: str, entry: Any, kind: type, options: Mapping[str, Any] | None) -> Any:
    """The options of an entry, which has the form of its registry and says what its options are."""
    law(isinstance(entry, kind), f"{name}: found a {type(entry).__name__}, asked is a {kind.__name__}, its entry")
    law(isinstance(entry.Options, type) and issubclass(entry.Options, BaseModel), f"{name}: its Options are no model")
    described(name, entry.Options)
    wrong = [one for one in entry.takes if one not in KINDS]
    law(entry.takes and not wrong, f"{name}: takes is {named(entry.takes)}; asked are some of {named(KINDS)}")
    unknown = [one for one in getattr(entry, "needs", Adapter.needs).features if one not in FEATURES]
    law(not unknown, f"{name}: it looks through {named(unknown)}, which nobody here knows")
    function = next(getattr(entry, part) for part in FUNCTIONS if hasattr(entry, part))
    law(inspect.getdoc(function), f"{name}: its function has no docstring")
    chosen = entry.Options.model_validate(dict(options or {}))
    again = entry.Options.model_validate(json.loads(chosen.model_dump_json()))
    law(again == chosen, f"{name}: its options do not survive JSON")
    return chosen


def _seen_by(
    extractors: tuple[str, ...],
    kind: KindName,
    weights: Mapping[str, Any] | None = None,
    data: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Samples of a kind, and what makes features of them, by extractor; None where one does not take the kind."""
    if any(kind not in FEATURES[one].takes for one in extractors):
        return None
    through = dict(weights or {})
    for one in extractors:
        through[one] = through[one] if one in through else small_weights(one, FEATURES[one], kind, None)
    truth = next((through[one] for one in through if FEATURES[one].needs.through_truth), None)
    # A known truth sees no other samples than such as it draws.
    rows = samples(kind, 2 * ROWS) if truth is None else truth.sample(Ask(2 * ROWS, 3)).data
    rows = rows if data is None else data
    return rows, {one: partial(FEATURES[one].extract, weights=weights) for one, weights in through.items()}


def _pool(entry: Selector, options: Any, kind: KindName, answers: tuple[str, ...]) -> Pool | None:
    """A pool with just what a selector needs; None where what it looks through, or asks, does not take the kind."""
    found, needs = _seen_by(looked_through(entry, options), kind), entry.needs
    if found is None:
        return None
    rows, looks = found
    own, train, model, ask = SampleSet(rows[:ROWS]), SampleSet(rows[ROWS:]), None, Ask(ROWS, 6)
    if needs.model:
        try:
            model = small_model(kind, training_set(kind), entry.asks, trained=True)
        except LookupError:
            return None  # no family of ours can what it asks for with this kind
        own = model.sample(ask)
    return Pool(
        own,
        Cell("study", "arm", 0, 1),
        {one: Seen(look(own.data), look(train.data)) for one, look in looks.items()},
        {option: np.random.default_rng(4).standard_normal(ROWS) for option in nested(options, "rewards")},
        model,
        _ballots(ROWS, answers, entry),
        train if looks or needs.train else None,
        Twin(None, KeptTable(np.arange(2), np.full(2, np.nan), ("",) * 2, "a twin")) if needs.twin else None,
        ask=ask if needs.ask else None,
        p_mark=np.random.default_rng(6).uniform(size=ROWS) if needs.mark else None,
    )


def _ballots(count: int, answers: tuple[str, ...], entry: Selector) -> Ballots | None:
    if not entry.needs.ballots:
        return None
    dice = np.random.default_rng(2)
    rows, judges = np.tile(np.arange(count), 2), ("first",) * count + ("second",) * count
    said = tuple(answers[one] for one in dice.integers(0, len(answers), 2 * count))
    return Ballots(rows, judges, said, np.full(2 * count, np.nan))


def _check_selection(name: str, selection: Selection, count: int, keeps: int) -> None:
    rows = selection.rows
    law(isinstance(selection, Selection), f"{name}: it gave a {type(selection).__name__}, asked is a Selection")
    law(rows.dtype == np.int64 and rows.ndim == 1, f"{name}: rows are {rows.dtype} {rows.shape}, asked are (n,) int64")
    law((np.diff(rows) > 0).all(), f"{name}: rows {rows} do not rise; each is kept once, in the order of the samples")
    law(not len(rows) or 0 <= rows[0] <= rows[-1] < count, f"{name}: it keeps rows {rows} of {count} samples")
    law(len(rows) <= keeps, f"{name}: its options say that it keeps {keeps} of {count} samples, it keeps {len(rows)}")
    scores = np.asarray(selection.scores)
    law(scores.dtype == np.float64 and len(scores) == len(rows), f"{name}: scores are not one float64 a kept row")
    law(len(selection.reasons) == len(rows), f"{name}: {len(selection.reasons)} reasons for {len(rows)} kept rows")
    law(selection.judge, f"{name}: it does not say who decided")


def _steered(
    name: str, entry: Guide, options: Any, kind: KindName, roles: list[str], rows: slice, shown: bool = False
) -> list[np.ndarray]:
    """What a rule makes of some rows of the same predictions at three levels; less what it was shown."""
    import torch

    less, told = shown, list(entry.told(options))
    shape, state, found = {"images": (3, 4, 4), "vectors": (2,), "categories": ()}[kind], None, []
    levels = torch.tensor([4.0, 1.0, 0.2, 0.0], dtype=torch.float64)
    for step in range(3):
        whole = iter(np.random.default_rng(step).standard_normal((3 + len(told) + len(roles), ROWS, *shape)))
        noisy, conditional, bare, *others = (torch.from_numpy(one[rows]) for one in whole)
        beside = dict(zip([*told, *roles], others, strict=True))
        further = {role: beside.pop(role) for role in told}
        shown = Predictions(noisy, conditional, bare if "unconditional" in entry.reads else None, beside, further)
        before, draws = shown.conditional.clone(), partial(_drawn, shape, step, rows)
        denoised, state = entry.rule(shown, Level(levels[step], levels[step + 1], step, 3), state, draws, options)
        law(torch.equal(shown.conditional, before), f"{name}: it has changed what it was shown, which is not its own")
        right = denoised.shape == before.shape and denoised.dtype == before.dtype
        law(
            right,
            f"{name}: it gave {denoised.dtype} {tuple(denoised.shape)}, asked is {before.dtype} {tuple(before.shape)}",
        )
        law(torch.isfinite(denoised).all(), f"{name}: at step {step} what it gave is not finite")
        found.append((denoised - before if less else denoised).numpy())
    return found


def _told(name: str, entry: Guide, options: Any, rows: slice) -> np.ndarray:
    """What a guide makes of some rows of the same vectors of conditions at three levels."""
    import torch

    width, state, found = 5, None, []
    levels = torch.tensor([4.0, 1.0, 0.2, 0.0], dtype=torch.float64)
    vectors = torch.from_numpy(np.random.default_rng(0).standard_normal((ROWS, width)))[rows]
    for step in range(3):
        before, draws = vectors.clone(), partial(_drawn, (width,), step, rows)
        told, state = entry.changes(vectors, Level(levels[step], levels[step + 1], step, 3), state, draws, options)
        law(torch.equal(vectors, before), f"{name}: it has changed the conditions that it was shown")
        law(told.shape == before.shape, f"{name}: it made {tuple(told.shape)} of conditions {tuple(before.shape)}")
        law(torch.isfinite(told).all(), f"{name}: at step {step} what the model is told is not finite")
        found.append(told.numpy())
    return np.array(found)


def _drawn(shape: tuple[int, ...], step: int, rows: slice) -> Any:
    import torch

    return torch.from_numpy(np.random.default_rng(100 + step).standard_normal((ROWS, *shape)))[rows]


def _given(entry: Adapter, options: Any, kind: KindName, model: Any, training: Any) -> Shown:
    """What an adapter needs, and nothing else."""
    look = {}
    for one in looked_through(entry, options):
        through = small_weights(one, FEATURES[one], kind, None)
        look[one] = partial(FEATURES[one].extract, weights=through)
    features = {one: extract(training.data) for one, extract in look.items()}
    ancestors = [model] * (2 if entry.needs.ancestors else 0)
    rewards = dict.fromkeys(nested(options, "rewards"), _liked)
    rows = entry.validates(options)
    law(isinstance(rows, int) and rows >= 0, f"it needs {rows!r} validation rows; asked is a whole number")
    validation = own_samples(model, 6)(rows) if rows else None
    earlier = [training] * (len(ancestors) if entry.needs.earlier else 0)
    split = SampleSet(training.data, training.labels) if look else None
    return Shown(training, own_samples(model, 5), look, features, rewards, ancestors, validation, earlier, split)


def _liked(pool: SampleSet) -> np.ndarray:
    """A reward of any samples: how large their first number is."""
    return pool.data.reshape(len(pool), -1)[:, 0].astype(np.float64)
