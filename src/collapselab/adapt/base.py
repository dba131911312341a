"""What an adapter is: what is done to a model between training and sampling."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..core.choice import Options
from ..core.facts import Facts
from ..core.kinds import KindName
from ..core.needs import NOTHING, Needs
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from ..models.base import Model
from ..rewards.base import Scored

if TYPE_CHECKING:
    from ..features import Features


class Own(Protocol):
    """Own samples of the model, of the adaptation's own random stream, with the arm's sampling bias and
    sampler, and no guide but one that the adapter says."""

    def __call__(self, count: int, start: int = 0, model: Any = None, guide: Any = None) -> SampleSet:
        """Samples ``start .. start + count``; of another model where one is given, from the same random numbers.

        guide: what steers or watches the sampler (``Ask.guide``)."""
        ...


class Given(NamedTuple):
    """What an adapter is handed beside the model: the rest follows from its ``needs``.

    training: the training set of the generation. own: own samples of the model. look: by extractor,
    ``f(data) -> Features`` of any data, as for a reward; train: the features of the training split, never of the
    held-out rows. rewards: those that the options name, by option, as functions of samples. ancestors: models of
    earlier generations of the same arm, as they were sampled, the oldest first. validation: the validation split,
    where the adapter ``validates``. earlier: the training sets of earlier generations, the oldest first. split: the
    training split itself, where the adapter looks through an extractor.
    """

    training: TrainingSet
    own: Own
    look: Mapping[str, "Callable[[Any], Features]"] = {}
    train: Mapping[str, "Features"] = {}
    rewards: Mapping[str, Scored] = {}
    ancestors: Sequence[Model] = ()
    validation: SampleSet | None = None
    earlier: Sequence[TrainingSet] = ()
    split: SampleSet | None = None


class Adapted(NamedTuple):
    """An adapted model, and what its adapter has found out: JSON-like, it stands in the lineage as ``adaptation``.

    facts: ``chosen`` holds what was chosen on validation rows, by option, which the report tells; others are free.
    """

    model: Any
    facts: Mapping[str, Any] = {}


class Step(NamedTuple):
    """One of the adapters that have made a model, by its name, with its options and what it has found out."""

    name: str
    options: Mapping[str, Any]
    facts: Mapping[str, Any]


def steps_of(lineage: Mapping[str, Any]) -> list[Step]:
    """The adapters of an adapted model in their order, from the lineage in its file; none of another model's.

    One stands there as ``adapter: {name: options}`` and ``adaptation: facts``, several as lists of these.
    """
    told, found = lineage.get("adapter", []), lineage.get("adaptation", {})
    several = isinstance(told, list)
    names = [next(iter(one.items())) for one in (told if several else [told])]
    facts = found if several else [found]
    return [Step(name, options, of) for (name, options), of in zip(names, facts, strict=True)]


def nothing_chosen(options: Any) -> int:
    """Of an adapter that chooses nothing: no validation rows."""
    return 0


def suits_all(family: type, options: Any) -> str:
    """Of an adapter that works with every family that can what it asks for."""
    return ""


def calls_no_more(options: Any) -> tuple[Callable[..., Any], ...]:
    """Of an adapter that calls the same whatever its options say."""
    return ()


def fits_all(facts: Facts, of: Any, options: Any) -> str:
    """Of an adapter that works with every model of a family that suits it."""
    return ""


@dataclass(frozen=True)
class Adapter:
    """A change of a trained model: reward fine-tuning, unlearning, low-rank updates, extrapolation from own samples.

    adapt: ``f(model, given, options, run) -> Model | Adapted``, of the same family. run.images_seen is what ``images``
    says; checkpoints, progress and interruption are those of a training (:func:`models.tuning.tuned` does them).
    images: ``f(options) -> int``, the images that it sees, which count as the arm's. asks: the capabilities that the
    model needs, protocols of ``models.capabilities``. takes: the kinds of data. validates: ``f(options) -> int``, how
    many validation rows it needs at least to choose what its options leave open; 0: none, and it is handed none.
    fault: ``f(family, options) -> str``, what keeps it from working with a family; empty if nothing. unfit: ``f(facts,
    of, options) -> str``, the same of a model with the options ``of`` and of a study's data, told before any work; what
    nobody knows so early ``adapt`` raises. instead: whether
    it takes the place of the training from generation 1 on: it is handed the model of the generation before, and learns
    the training set by itself. gold: whether it trains anew without what is to be forgotten, which the report holds all
    other ways of forgetting against. calls: ``f(options) -> functions``, those that only some options call and that no
    adaptation with others hangs on: the adapter's ``adapt`` counts by an earlier text that knows nothing of them
    (``store.provenance.earlier``), so that a job with such options names them beside it.
    """

    Options: type[Options]
    adapt: Callable[[Any, Given, Any, Run], Any]
    images: Callable[[Any], int]
    asks: tuple[type, ...] = ()
    needs: Needs = NOTHING
    takes: tuple[KindName, ...] = ("images", "vectors", "categories", "sequences")
    validates: Callable[[Any], int] = nothing_chosen
    fault: Callable[[type, Any], str] = suits_all
    unfit: Callable[[Facts, Any, Any], str] = fits_all
    instead: bool = False
    gold: bool = False
    calls: Callable[[Any], tuple[Callable[..., Any], ...]] = calls_no_more
