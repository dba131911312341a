"""What steers a sampler beside the model itself, by the names that a study uses: rules of guidance.

Classifier-free guidance with one weight at all levels is an arm's ``sampling_bias``, too.
"""

from ..core.registry import Registry
from .adaptive import AdaptiveOptions, MambogOptions, adaptive, mambog, still_guided
from .apg import APGOptions, apg
from .base import Guide, weighted
from .cads import CADSOptions, annealed, cads
from .cfg import CFGOptions, cfg, somewhere
from .cfgpp import DEFINED, CFGPPOptions, cfgpp
from .deletion import DeletionOptions, asked_as_deleted, deletion, told_of
from .fair import FairOptions, attributes_of, fair
from .feedback import (
    DynamicNegativeOptions,
    FeedbackOptions,
    asked_as_negative,
    dynamic_negative,
    feedback,
    judged,
    negative_of,
)
from .further import AutoguidanceOptions, SIMSOptions, autoguidance, own, sims, weak
from .perp_neg import PerpNegOptions, perp_neg
from .rescale import RescaleOptions, rescale

BOTH = ("conditional", "unconditional")

GUIDES: Registry[Guide] = Registry(
    "collapselab.guides",
    {
        "cfg": Guide(CFGOptions, cfg, BOTH, wants=somewhere, neutral={"w": 0}),
        "cfgpp": Guide(CFGPPOptions, cfgpp, BOTH, among=DEFINED),
        "apg": Guide(APGOptions, apg, BOTH, wants=weighted, neutral={"w": 0}),
        "rescale": Guide(RescaleOptions, rescale, BOTH, wants=weighted, neutral={"w": 0}),
        "cads": Guide(
            CADSOptions, cads, BOTH, changes=annealed, wants=weighted, neutral={"tau1": 1, "tau2": 1, "w": 0}
        ),
        "feedback": Guide(FeedbackOptions, feedback, BOTH, wants=judged, neutral={"pi": 1}),
        "dynamic_negative": Guide(
            DynamicNegativeOptions, dynamic_negative, told=negative_of, neutral={"prior": 0}, leaves=asked_as_negative
        ),
        "deletion": Guide(DeletionOptions, deletion, told=told_of, neutral={"prior": 0}, leaves=asked_as_deleted),
        "mambog": Guide(MambogOptions, mambog, BOTH, wants=weighted, neutral={"w": 0}),
        "adaptive": Guide(AdaptiveOptions, adaptive, BOTH, wants=still_guided, neutral={"w": 0}),
        "perp_neg": Guide(PerpNegOptions, perp_neg, BOTH, told=negative_of, neutral={"w": 0, "negative_weight": 0}),
        "fair": Guide(FairOptions, fair, BOTH, told=attributes_of),
        "autoguidance": Guide(AutoguidanceOptions, autoguidance, auxiliary=weak, neutral={"w": 0}),
        "sims": Guide(SIMSOptions, sims, auxiliary=own, neutral={"w": 0}),
    },
    Guide,
)
