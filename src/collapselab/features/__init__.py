"""Features: what a sample looks like to a metric or a selector, as a row of numbers.

An extractor turns the data of a sample set into :class:`Features`, once; metrics then are arithmetic on them.
"""

from ..core.needs import Needs
from ..core.registry import Registry
from .attributes import attributes
from .base import Array as Array
from .base import Extractor as Extractor
from .base import ExtractorName as ExtractorName
from .base import Features as Features
from .base import Weights as Weights
from .base import taken as taken
from .colours import FACTS as COLOURS
from .colours import colours
from .lenet import LeNetOptions, lenet, train_lenet
from .likelihood import SEED, LikelihoodOptions, likelihood
from .logo import LogoOptions, logo
from .mark import DetectionOptions, mark
from .moments import moments
from .plain import identity, pixels
from .published import (
    INCEPTION_FACTS,
    VISION_FACTS,
    PublishedOptions,
    clip,
    dinov2,
    inception,
    inception_torchvision,
)
from .random_conv import FACTS as RANDOM_CONV_FACTS
from .random_conv import random_conv
from .runs import FACTS as RUNS_FACTS
from .runs import RunsOptions, runs
from .sequences import ReferenceOptions, reference, surprisal, tokens, train_reference
from .sounds import HEARD, SPREAD, heard, log_spectral
from .spectrum import FACTS as SPECTRUM
from .spectrum import spectrum
from .truth import RARE, truth
from .voices import FACTS as VOICES
from .voices import resemblyzer

FEATURES: Registry[Extractor] = Registry(
    "collapselab.extractors",
    {
        "identity": Extractor(identity, takes=("vectors", "categories")),
        "pixels": Extractor(pixels),
        "moments": Extractor(moments, takes=("images", "vectors", "categories"), needs=Needs("law")),
        "lenet": Extractor(lenet, train_lenet, LeNetOptions, needs=Needs("learnt"), gives=("classes", "probabilities")),
        "random-conv": Extractor(random_conv, facts=RANDOM_CONV_FACTS),
        "inception": Extractor(
            inception,
            Options=PublishedOptions,
            needs=Needs("published", "inception"),
            gives=("probabilities",),
            facts=INCEPTION_FACTS,
            uses_torch=True,
        ),
        "inception-torchvision": Extractor(
            inception_torchvision,
            Options=PublishedOptions,
            needs=Needs("published", "inception-torchvision"),
            gives=("probabilities",),
            facts=INCEPTION_FACTS,
            uses_torch=True,
        ),
        "dinov2": Extractor(
            dinov2, Options=PublishedOptions, needs=Needs("published", "dinov2"), facts=VISION_FACTS, uses_torch=True
        ),
        "clip": Extractor(
            clip, Options=PublishedOptions, needs=Needs("published", "clip"), facts=VISION_FACTS, uses_torch=True
        ),
        "likelihood": Extractor(
            likelihood,
            Options=LikelihoodOptions,
            takes=("images", "vectors", "categories"),
            needs=Needs("model"),
            statistic=True,
            facts={"seed": SEED},
        ),
        "colours": Extractor(colours, statistic=True, facts=COLOURS),
        "spectrum": Extractor(spectrum, statistic=True, facts=SPECTRUM),
        "attributes": Extractor(attributes, statistic=True),
        "logo": Extractor(logo, Options=LogoOptions, statistic=True),
        "mark": Extractor(
            mark,
            Options=DetectionOptions,
            takes=("images", "vectors"),
            needs=Needs("mark"),
            statistic=True,
        ),
        "truth": Extractor(
            truth,
            takes=("images", "vectors", "categories"),
            needs=Needs("truth"),
            statistic=True,
            facts={"rare": RARE},
        ),
        "tokens": Extractor(tokens, takes=("sequences",), statistic=True, symbols=True),
        "surprisal": Extractor(surprisal, takes=("sequences",), needs=Needs("model"), statistic=True),
        "true-surprisal": Extractor(surprisal, takes=("sequences",), needs=Needs("truth"), statistic=True),
        "reference": Extractor(
            reference, train_reference, ReferenceOptions, takes=("sequences",), needs=Needs("learnt"), statistic=True
        ),
        "runs": Extractor(runs, Options=RunsOptions, takes=("sequences",), facts=RUNS_FACTS),
        "heard": Extractor(heard, takes=("audio",), statistic=True, facts=HEARD),
        "log-spectral": Extractor(log_spectral, takes=("audio",), facts=SPREAD),
        "resemblyzer": Extractor(
            resemblyzer,
            Options=PublishedOptions,
            takes=("audio",),
            needs=Needs("published", "resemblyzer"),
            facts=VOICES,
            uses_torch=True,
        ),
    },
    Extractor,
)
