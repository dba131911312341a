"""The shape of a study's file: its parts with their keys, ranges and descriptions, and nothing resolved."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from ..compose.regimes import ROWS_MAX, Bias, Budget, Init, Initial, Positive
from ..compose.streams import Stream
from ..core.choice import CHOICE, Choice, From
from ..data.planted import Planted
from ..data.split import EATEN, RESERVED, starts
from ..features import FEATURES
from ..measure.record import Against
from ..metrics import METRICS

FAIRNESS = {
    "training_set_size": "all arms have the same training-set size at each generation",
    "images_seen": "all arms see the same number of images in training at each generation",
    "init": "all arms start their trainings from the same kind of model",
    "sampler": "all arms that are sampled step by step are sampled by the same sampler, in as many steps",
}
BUDGETS = {
    "real_rows": "all measures use the same number of real rows, those that selectors and adapters look at included",
    "evaluations": "all measures ask networks equally often to make samples",
}
"""What is asked further of a study that compares measures against collapse, under ``prevention``."""
JUDGING = {"primary_space": "nobody selects or adapts by what the primary endpoint is measured in"}

SEEDS_MAX = 10_000  # of a study: from there on the seeds are numbered that only a table of variances is made of
CONTROLS = {
    "real_only": ("real_only",),
    "real_supply": ("real_supply",),
    "both": ("real_only", "real_supply"),
    "none": (),
}
"""what a study may say of its controls -> their kinds, of which the first is what its arms are compared with."""


class Part(BaseModel):
    """A mapping of known keys to values of just their types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _name_in(registry: Mapping[str, Any]) -> Any:
    return Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(registry)})]


LETTERS_MAX = 100  # of a name, which becomes a folder's with more around it; most file systems take 255 bytes
ARXIV_PATTERN = r"^\d{4}\.\d{4,5}$"
DOI_PATTERN = r"^10\.\d{4,9}/\S+$"
STUDY_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"  # of an arm or a model: a hyphen parts the names of bases
Name = Annotated[
    str, Field(pattern=NAME_PATTERN, max_length=LETTERS_MAX, description="letters, digits and underscores")
]


def _whole_number(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdigit() else key  # JSON has no other keys than strings


Label = Annotated[int, Field(ge=0), BeforeValidator(_whole_number)]


class Split(Part):
    """How many real images go where: once, by seed, for the whole study."""

    train: int = Field(0, ge=0, le=ROWS_MAX, description="images that training sets draw fixed and redrawn rows from")
    held_out: int = Field(ge=2, le=ROWS_MAX, description="images that the metrics compare with, never trained on")
    fresh: int = Field(0, ge=0, le=ROWS_MAX, description="images that fresh rows are drawn from, without replacement")
    validation: int = Field(
        0, ge=0, le=ROWS_MAX, description="images that choices are made on, such as the length of an average"
    )
    reserved: int = Field(
        0,
        ge=0,
        le=ROWS_MAX,
        description="images that nothing here sees, since another study holds them out: what is chosen here may be "
        "reported there, if source, rare and split_seed are the same, and held_out there is no more",
    )

    def parts(self) -> dict[str, int]:
        """The images in each part; a validation split that nobody asks for is not there, and what is reserved is no
        part."""
        return self.model_dump(exclude={RESERVED} if self.validation else {"validation", RESERVED})

    def stem(self, part: str) -> str:
        """What the file of a part is called: by where in the order it begins, unless at the end, and its size."""
        sizes = self.parts()
        begins = starts(sizes)[part] if part in EATEN else self.reserved
        return f"{part}-{begins}-{sizes[part]}" if part in EATEN or begins else f"{part}-{sizes[part]}"

    def kept_back(self) -> dict[str, int]:
        """The number of reserved images, where there are any, beside those of the parts."""
        return {RESERVED: self.reserved} if self.reserved else {}


class Data(Part):
    """Real data: images from a source, or a known population to draw from."""

    source: Annotated[Choice, From("sources")] | None = Field(None, description="where real images come from")
    population: Annotated[Choice, From("populations")] | None = Field(
        None, description="a model with known parameters: real data is drawn from it"
    )
    split: Split
    split_seed: int = Field(0, ge=0, lt=2**63, description="the split belongs to the study, not to its replicates")
    rare: dict[Label, Annotated[float, Field(gt=0, lt=1)]] = Field(
        {}, description="{label: share}: classes that are thinned to a share of the real images, to see them die out"
    )
    stream: Stream | None = Field(
        None, description="the real data change: each generation's are those of a task of its own"
    )
    planted: Planted | None = Field(
        None, description="a logo in a corner of a share of the images that trainings eat, to be unlearnt and audited"
    )


class Train(Part):
    """The budget of one training; the models' own defaults where it says nothing."""

    images_seen: Budget | None = Field(
        None, description="images that each training sees, repeats counted; 0: published weights stay as they are"
    )
    epochs: Positive | None = Field(None, description="instead of images_seen: passes over the training set")


class Endpoint(Part):
    """The number that the verdict is about, named before the study runs."""

    metric: _name_in(METRICS) = "recall"
    extractor: _name_in(FEATURES)


class Prevention(Part):
    """What a study compares measures against collapse by. All its arms have one budget, that of the arm without one."""

    against: str = Field(description="the arm without a measure: what it spends no other arm may exceed")
    yardstick: str | None = Field(
        None, description="an arm beside the measures that is drawn and takes no part, such as real data alone"
    )
    fidelity: Endpoint = Field(description="by what is told whether samples look real, such as precision")
    diversity: Endpoint = Field(description="by what is told whether all that is real is reached, such as recall")


class OneOrSeveral:
    """Says that a list may be one of its items alone."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """One item, or the list."""
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


def _several_from(registry: str, *other: dict[str, str]) -> WithJsonSchema:
    """Says that a list of choices from a registry may be one of them alone. other: what else may stand there."""
    return WithJsonSchema({"anyOf": [{CHOICE: registry}, {"type": "array", "items": {CHOICE: registry}}, *other]})


def _one_or_several(said: Any) -> Any:
    return list(said) if isinstance(said, list | tuple) else [said]


def _none_or_several(said: Any) -> Any:
    return [] if said is None else _one_or_several(said)


def _as_one(choices: list[Choice]) -> Any:
    """One choice alone, as files have always had it; several as a list."""
    said = [one.said for one in choices]
    return said if len(said) > 1 else said[0] if said else None


class Arm(Part):
    """One setting compared in the study."""

    model: str = Field(description="a name under models")
    regime: Annotated[Choice, From("regimes")] = Field(
        description="how training sets are composed; algebra: by the counts themselves"
    )
    sampling_bias: Bias = 1.0
    adapt: Annotated[
        list[Choice],
        BeforeValidator(_none_or_several),
        _several_from("adapters", {"type": "null"}),
        PlainSerializer(_as_one),
    ] = Field(
        [], description="what changes the trained model: one, or several, each what the one before has made of it"
    )
    guide: Annotated[Choice, From("guides")] | None = Field(None, description="what steers the sampler")
    sampler: Annotated[Choice, From("samplers")] | None = Field(
        None, description="which sampler takes the place of the model's own, where samples are made step by step"
    )
    transform: list[Annotated[Choice, From("transforms")]] = Field(
        [], description="what is done to the samples before anybody sees them, in order"
    )
    mark: Annotated[Choice, From("marks")] | None = Field(
        None, description="the secret in what is released, by which its owner knows it again"
    )
    select: Annotated[list[Choice], BeforeValidator(_one_or_several), _several_from("selectors")] = Field(
        [], description="who keeps which samples: one, or several, each of what the one before has kept"
    )
    drawn_by: str | None = Field(
        None,
        description="the arm that draws a sample of each label of this one, whose model is of labels alone",
    )
    stream: int = Field(
        0, ge=0, lt=2**63, description="random stream of the samples: arms that feed one another need different ones"
    )
    about: str = Field("", description="one line for the report; left out, the report says what the arm is trained on")


class SeedsVary(Part):
    """What differs between the seeds of a study."""

    split: bool = Field(
        False,
        description="also redraw the split, and learn extractors on it anew, in a few lineages beside the seeds: for a "
        "table of variances alone",
    )
    training: bool = Field(True, description="which rows are trained on, and the training")
    sampling: bool = Field(True, description="which samples are drawn and selected")


Bound = Annotated[float, Field(allow_inf_nan=False)]


class Stop(Part):
    """When a lineage of an arm is stopped: after the first generation of which this holds, none is trained."""

    when: Literal["collapsed", "converged", "diverged"] = Field(
        description="collapsed: the metric is below or above a bound; converged: it moves no more; diverged: a training"
    )
    metric: _name_in(METRICS) | None = Field(None, description="the metric; that of the primary endpoint if left out")
    extractor: _name_in(FEATURES) | None = Field(None, description="where it is measured; as the primary if left out")
    below: Bound | None = Field(None, description="collapsed: the metric is below it")
    above: Bound | None = Field(None, description="collapsed: the metric is above it")
    within: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="converged: the largest and the smallest of the generations are no further apart"
    )
    generations: int = Field(1, ge=1, le=2_000, description="generations, one after the other, of which it must hold")


class Expected(Part):
    """A claim of the paper as a number of each lineage, which is held against the records."""

    arm: str = Field(description="the arm, or a control, that it is about")
    is_: Literal["rises", "falls", "stays", "above", "below", "near"] = Field(
        alias="is",
        description="of the arm itself: rises, falls, stays; of a number, or another arm: above, below, near",
    )
    value: Bound | None = Field(None, description="the number, or by how much; left out, by any amount")
    within: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="near, stays: how far on either side still agrees"
    )
    than: str | None = Field(None, description="above, below, near: the arm that it is compared with, seed by seed")
    since: Annotated[int, Field(ge=0)] | None = Field(
        None, description="the earlier generation that it is compared with; of what rises, falls or stays 0 if left out"
    )
    at: Annotated[int, Field(ge=0)] | None = Field(None, description="at which generation; the last if left out")
    by: Literal["difference", "ratio"] = Field("difference", description="how the two are compared")
    metric: str | None = Field(None, description="the metric; that of the primary endpoint if left out")
    extractor: _name_in(FEATURES) | None = Field(None, description="where it is measured; as the primary if left out")


Sentence = Annotated[str, Field(min_length=1)]


class Paper(Part):
    """The paper that a study is made after, and what it claims."""

    cite: Sentence = Field(description="authors, year and title")
    arxiv: Annotated[str, Field(pattern=ARXIV_PATTERN)] | None = Field(
        None, description="its number, such as 2307.01850"
    )
    doi: Annotated[str, Field(pattern=DOI_PATTERN)] | None = Field(
        None, description="such as 10.1038/s41586-024-07566-y"
    )
    claim: Sentence = Field(description="what it claims, in a sentence")
    reported: Sentence = Field(description="the number that it publishes for it, or the direction")
    missing: str = Field("", description="the one thing that this study lacks of what the paper does")
    expect: list[Expected] = Field(min_length=1, description="the claim as numbers that the records are held against")


KEEP_PATTERN = r"^(all|none|every [1-9][0-9]{0,3}(st|nd|rd|th))$"
Kept = Annotated[str, Field(pattern=KEEP_PATTERN)]


class Keep(Part):
    """What is kept of finished generations, when ``collapselab gc`` makes room. Whatever a job still reads stays."""

    weights: Kept = Field("all", description="trained models: all, every Nth generation (every 5th) and the last, none")
    samples: Kept = Field("all", description="sample sets, likewise; an accumulating arm eats all of them")
    features: Kept = Field("all", description="what extractors made of samples, likewise; a new metric reads them")
    next: bool = Field(True, description="also keep what one more generation would read")


class StudyFile(Part):
    """What a study's file may say."""

    name: Annotated[
        str,
        Field(pattern=STUDY_NAME_PATTERN, max_length=LETTERS_MAX, description="the file's name without .yaml"),
    ]
    question: str = Field("", description="the question that the study asks, for the report")
    paper: Paper | None = Field(
        None, description="the paper that it is made after, and its claim, which the report holds against the records"
    )
    toy: dict[str, Any] | None = Field(
        None,
        description="what differs in NAME-toy, the same study at a size of minutes: keys with their values, inside "
        "others as in the study; null takes one away",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="the study's seed: every random number follows from it")
    seeds: int = Field(ge=1, le=SEEDS_MAX, description="replicates of every arm")
    seeds_vary: SeedsVary = SeedsVary()
    generations: int = Field(ge=0, le=2_000, description="generations after generation 0")
    data: Data
    models: dict[Name, Annotated[Choice, From("models")]] = Field(min_length=1)
    initial: Initial
    init: Init = Field("scratch", description="what each training starts from, unless an arm says otherwise")
    train: Train = Train()
    samples: int = Field(
        ge=1, le=ROWS_MAX, description="samples that each model gives at each generation, all of them measured"
    )
    grid: int = Field(40, ge=1, le=10_000, description="samples in the report's picture of a generation")
    extractors: list[Annotated[Choice, From("extractors")]] = Field(
        min_length=1, description="the feature spaces in which metrics measure"
    )
    reference: Against = Field("held_out", description="the real samples that metrics compare with")
    metrics: list[Annotated[Choice, From("metrics")]] = Field(min_length=1, description="what is measured")
    primary: Endpoint
    prevention: Prevention | None = Field(
        None,
        description="arms are measures against collapse, compared at one budget: the report draws what none of the "
        "others beats, and says what to do, for whom, and by which number",
    )
    arms: dict[Name, Arm] = Field(min_length=1)
    sweep: dict[str, list[int | float | str | bool]] = Field(
        {},
        description="axes: {initial.real, models.MODEL.OPTION or arms.ARM.KEY.OPTION: [values]}; every arm, or those "
        "under arms, is copied for each point of their product",
    )
    control: Literal[tuple(CONTROLS)] = Field(
        "real_only",
        description="real data alone beside every arm, at its total size (real_only), or the real rows that it has "
        "used by then (real_supply); both or none",
    )
    yoked: bool = Field(
        True, description="also run, beside every arm with a selector, one of which chance keeps as many of each class"
    )
    converged: bool = Field(
        False,
        description="also run, beside every arm that is sampled in steps, one with the same sampler in enough of them",
    )
    converged_within: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-3,
        description="converged: steps are enough where twice as many change the variance of normal data by no more "
        "than this share",
    )
    too_few: Literal["stop", "top_up"] = Field(
        "stop",
        description="what is done where a selector finds fewer samples than are wanted: stop, or chance adds some; "
        "who says otherwise later has all selections, and what was trained on them, made anew",
    )
    calibration: list[Annotated[int, Field(ge=2, le=ROWS_MAX)]] = Field(
        [],
        description="numbers of real images: for each a model of them alone, by which the report says how many real "
        "images an arm's limit is worth",
    )
    stop: Annotated[list[Stop], BeforeValidator(_one_or_several), OneOrSeveral()] = Field(
        [], description="when a lineage of an arm is stopped; controls go on. One rule, or several: the first counts"
    )
    together: bool = Field(
        False,
        description="all seeds of an arm in one job and one table, for families whose fit is a formula; metrics are of "
        "their exact moments",
    )
    keep: Keep = Field(Keep(), description="what is kept of finished generations: collapselab gc frees the rest")
    nonidentical: Literal["refuse", "allow"] = Field(
        "refuse",
        description="what becomes of a training that would go on on other hardware, or another torch, than it began "
        "on, and so to other bits: it is refused, or allowed, and the report says so",
    )
    waive: dict[Literal[tuple(FAIRNESS | BUDGETS | JUDGING)], Annotated[str, Field(min_length=1)]] = Field(
        {}, description="fairness rules that this study breaks, and why"
    )
