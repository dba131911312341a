"""What an adapter is: what is done to a model between training and sampling."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.choice import Options
from ..core.kinds import KindName
from ..core.needs import NOTHING, Needs
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from ..models.base import Model
from ..rewards.base import Scored

if TYPE_CHECKING:
    from ..features import Features


class Given(NamedTuple):
    """What an adapter is handed beside the model: the rest follows from its ``needs``.

    training: the training set of the generation. own: ``f(count, start) -> SampleSet``, own samples of the model, of
    the adaptation's own random stream. look: by extractor, ``f(data) -> Features`` of any data, as for a reward; train:
    the features of the training split, never of the held-out rows. rewards: those that the options name, by option, as
    functions of samples. ancestors: models of earlier generations of the same
    arm, as they were sampled, the oldest first.
    """

    training: TrainingSet
    own: Callable[[int, int], SampleSet]
    look: Mapping[str, "Callable[[Any], Features]"] = {}
    train: Mapping[str, "Features"] = {}
    rewards: Mapping[str, Scored] = {}
    ancestors: Sequence[Model] = ()


@dataclass(frozen=True)
class Adapter:
    """A change of a trained model: reward fine-tuning, unlearning, low-rank updates, extrapolation from own samples.

    adapt: ``f(model, given, options, run) -> Model``, of the same family. run.images_seen is what ``images`` says;
    checkpoints, progress and interruption are those of a training (:func:`models.tuning.tuned` does them).
    images: ``f(options) -> int``, the images that it sees, which count as the arm's. asks: the capabilities that the
    model needs, protocols of ``models.capabilities``. takes: the kinds of data.
    """

    Options: type[Options]
    adapt: Callable[[Any, Given, Any, Run], Any]
    images: Callable[[Any], int]
    asks: tuple[type, ...] = ()
    needs: Needs = NOTHING
    takes: tuple[KindName, ...] = ("images", "vectors", "categories")
