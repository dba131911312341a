"""The laws of extractors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.ask import Ask
from ..core.kinds import KINDS, KindName
from ..features import FEATURES, Extractor, Features
from ..marks import MARKS
from ..marks.detector import Detector
from ..models.capabilities import Knows, Scores
from ..populations import POPULATIONS
from .families import small_model, training_set
from .said import described, entry_of, law, named, refused, same, survives

ROWS = 300  # more than a batch of most
UNIT_SUM = 1e-5  # of probabilities in float32
ELSEWHERE = 1e-5  # of the largest number: float32, where a row stands elsewhere in its batch


def check_extractor(
    extractor: Extractor | str, data: np.ndarray | None = None, weights: Any = None, options: Any = None
) -> None:
    """Hold an extractor to its contract (:class:`~collapselab.features.Extractor`).

    One row of features a sample, in the same bits however many samples follow, and in the same numbers to float32
    rounding wherever a sample stands; all finite, with the names, classes and probabilities that the entry says, and
    the data left as they are. What it does not take is refused in words. One that is trained learns the same bits from
    the same seed; one that describes a law gives its moments.

    extractor: the entry, or its name in the registry. data: what it looks at, two samples at least and as many as make
    several of its batches; None makes 300 of each kind that it takes. weights: what it looks through; None is right
    where it needs none, and makes some for one that is trained, or looks through a model or a known truth. options:
    those of ``train``. Raises AssertionError for the first law that is broken.
    """
    name, entry = entry_of(extractor, FEATURES)
    _check_entry(name, entry)
    kinds = entry.takes if data is None else (None,)
    for kind in kinds:
        through = small_weights(name, entry, kind, options) if weights is None else weights
        looked = _looked_at(entry, kind, through) if data is None else data
        if entry.needs.through == "law":
            _check_law(name, entry.extract(looked, through), through)
            continue
        whole = _check_rows(name, entry, looked, through)
        _check_parts(name, entry, whole, len(looked))
        _check_refusals(name, entry, through)


def samples(kind: KindName, count: int = ROWS) -> np.ndarray:
    """Samples of a kind, the same each time: colour images of 16 x 16 pixels, planar vectors, categories 0 .. 4, and
    sequences of six such tokens, and log-mel pictures of 16 bands and 8 frames.
    """
    source = np.random.default_rng(7)
    if kind == "images":
        return source.integers(0, 256, (count, 3, 16, 16), np.uint8)
    if kind == "sequences":
        return source.integers(0, 5, (count, 6), np.int32)
    if kind == "audio":
        return source.uniform(-1, 1, (count, 16, 8)).astype(np.float32)
    return 2 * source.normal(size=(count, 2)) if kind == "vectors" else source.integers(0, 5, count)


def _check_entry(name: str, entry: Extractor) -> None:
    law(isinstance(entry, Extractor), f"{name}: found a {type(entry).__name__}, asked is an Extractor, its entry")
    law(entry.extract.__doc__, f"{name}: its function has no docstring")
    wrong = [kind for kind in entry.takes if kind not in KINDS]
    law(entry.takes and not wrong, f"{name}: takes is {named(entry.takes)}; asked are some of {named(KINDS)}")
    law(
        (entry.train is not None) == (entry.needs.through == "learnt"),
        f"{name}: it looks through {entry.needs.through}, and {'has' if entry.train else 'has no'} train; what is "
        "learnt has one, and nothing else",
    )
    law(
        bool(entry.needs.published) == (entry.needs.through == "published"),
        f"{name}: it looks through {entry.needs.through}, and published is {entry.needs.published!r}; what looks "
        "through published weights names them, and nothing else does",
    )
    facts = dict(entry.facts)
    law(
        survives(facts),
        f"{name}: its facts {facts!r} do not survive JSON, as a fingerprint does",
    )
    described(name, entry.Options)


def small_weights(name: str, entry: Extractor, kind: KindName, options: Any) -> Any:
    """Something small to look through, for an extractor of a kind."""
    through = entry.needs.through
    if through == "learnt":
        return _trained(name, entry, kind, options)
    if through == "truth":
        judge = {"images": "jars", "vectors": "gaussians", "categories": "outfits", "sequences": "markov"}[kind]
        return POPULATIONS[judge].population(POPULATIONS[judge].PopulationOptions())
    if through == "mark":
        entry = MARKS["spread_spectrum"]
        return Detector(entry, entry.Options(strength=1.0), bytes(32))
    if through in ("model", "law"):
        able = Knows if through == "law" else Scores
        return small_model(kind, _training(kind), (able,))
    law(through == "nothing", f"{name}: it looks through published weights, which nobody here has: give weights")
    return None


def _looked_at(entry: Extractor, kind: KindName, through: Any) -> np.ndarray:
    """Samples of a kind; through a model or a known truth its own, which it does not hold for impossible."""
    own = entry.needs.through in ("model", "truth", "law")
    return through.sample(Ask(ROWS, 3)).data if own else samples(kind)


def _training(kind: KindName) -> Any:
    rows, one = samples(kind, 40), training_set(kind)
    return type(one)(rows, None, one.weights)


def _trained(name: str, entry: Extractor, kind: KindName, options: Any) -> Any:
    data, chosen = samples(kind, 60), entry.Options() if options is None else options
    labels = np.arange(60) % 3
    (weights, info), (again, _) = (entry.train(data, labels, 1, chosen, held_out=(data, labels)) for _ in range(2))
    alike = weights.keys() == again.keys() and all(same(weights[part], again[part]) for part in weights)
    law(alike, f"{name}: trained twice from one seed it has other weights; the same seed gives the same bits")
    law(survives(info), f"{name}: what train says of the training does not survive JSON")
    return weights


def _check_rows(name: str, entry: Extractor, data: np.ndarray, weights: Any) -> Features:
    """Hold that a row of features is its sample's own. Returns those of all samples."""
    before, count = data.copy(), len(data)
    whole = entry.extract(data, weights)
    law(same(data, before), f"{name}: it has changed the samples, which are not its own")
    law(isinstance(whole, Features), f"{name}: it gave a {type(whole).__name__}, asked are Features")
    law(len(whole) == count, f"{name}: of {count} samples it gave {len(whole)} rows, asked is one each")
    law(np.isfinite(whole.values).all(), f"{name}: its values are not all finite")
    for rows in (1, count // 2 + 1, count - 1):
        part = entry.extract(data[:rows], weights)
        for what in ("values", "classes", "probabilities"):
            found, asked = getattr(part, what), getattr(whole, what)
            law(
                same(found, asked if asked is None else asked[:rows]),
                f"{name}: {what} of the first {rows} samples are others than among {count}; a row of features has the "
                "same bits however many samples follow (batches have a fixed size, and are padded)",
            )
    order = np.random.default_rng(0).permutation(count)
    moved = entry.extract(data[order], weights).values
    bound = ELSEWHERE * np.abs(whole.values).max()
    law(
        np.abs(moved - whole.values[order]).max() <= bound,
        f"{name}: in another order the samples have other features; a row hangs from its sample alone",
    )
    return whole


def _check_parts(name: str, entry: Extractor, whole: Features, count: int) -> None:
    values = whole.values
    law(
        values.dtype in (np.float32, np.float64), f"{name}: its values are {values.dtype}, asked are float32 or float64"
    )
    told = {part for part in ("classes", "probabilities") if getattr(whole, part) is not None}
    said = set(entry.gives) | (told & {"classes"} if "categories" in entry.takes else set())
    law(told == said, f"{name}: it gave {named(sorted(told))} beside values, the entry says {named(entry.gives)}")
    names = whole.names
    law(names is not None or not entry.statistic, f"{name}: columns of a statistic are found by name, and have none")
    if names is not None:
        right = len(names) == len(set(names)) == values.shape[1] and all(names)
        law(right, f"{name}: {len(names)} names for {values.shape[1]} columns; asked is one each, all different")
    if whole.classes is not None:
        right = whole.classes.dtype == np.int64 and whole.classes.shape == (count,)
        law(right, f"{name}: classes are {whole.classes.dtype}, asked are int64, one a sample")
    if whole.probabilities is not None:
        law(
            whole.probabilities.dtype == np.float32,
            f"{name}: probabilities are {whole.probabilities.dtype}, not float32",
        )
        off = np.abs(whole.probabilities.sum(axis=1) - 1).max()
        law(off <= UNIT_SUM, f"{name}: probabilities of a sample add up to 1 but for {off:.2g}")


def _check_refusals(name: str, entry: Extractor, weights: Any) -> None:
    for kind in KINDS:
        if kind not in entry.takes:
            look: Callable[[], Any] = lambda kind=kind: entry.extract(samples(kind, 3), weights)  # noqa: E731
            refused(look, "", f"{name}: {kind}, which are not among what it takes")


def _check_law(name: str, found: Features, through: Any) -> None:
    law(found.moments is not None, f"{name}: it describes a law, and gave no moments")
    mean, covariance = found.moments
    law(
        same(mean, through.moments()[0]) and covariance.shape == (len(mean), len(mean)),
        f"{name}: its moments are not those of the law that it looks at",
    )
    law(len(found) == 1, f"{name}: it gave {len(found)} rows, asked of a law is one: its mean")
