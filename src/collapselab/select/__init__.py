"""Which samples are kept, why, and by whom: the selectors, by the names that a study uses."""

from ..core.needs import Needs
from ..core.registry import Registry
from ..models.capabilities import Denoises, Discriminates, Scores
from .base import Selector, SelectorOptions, ShareOptions
from .basic import YokedOptions, nobody, random, yoked
from .classifier import ClassifierOptions, classifier
from .classifier import unlabelled as classifier_unlabelled
from .detector import DetectorOptions, detector
from .discriminator import DiscriminatorOptions, discriminator
from .hallucination import HallucinationOptions, hallucination
from .likelihood import LatentFilterOptions, LikelihoodOptions, latent_filter, likelihood
from .likelihood import fault as latent_fault
from .likelihood import unlabelled as latent_unlabelled
from .neighbours import NoveltyOptions, RarityOptions, RealismOptions, novelty, novelty_fault, rarity, realism
from .neighbours import fault as neighbours_fault
from .people import PeopleOptions, people
from .quota import QuotaOptions, quota
from .quota import fault as quota_fault
from .quota import unlabelled as quota_unlabelled
from .reward import RewardOptions, reward
from .richness import RichnessOptions, richness
from .tails import TailsOptions, tails
from .tails import fault as tails_fault
from .unmarked import UnmarkedOptions, unmarked
from .verified import VerifiedOptions, verified
from .verified import fault as verified_fault
from .verifier import VerifierOptions, verifier
from .weighted import WeightedOptions, weighted
from .weighted import fault as weighted_fault

SELECTORS: Registry[Selector] = Registry(
    "collapselab.selectors",
    {
        "nobody": Selector(SelectorOptions, nobody),
        "random": Selector(ShareOptions, random),
        "people": Selector(PeopleOptions, people, Needs(ballots=True), ("images",)),
        "yoked": Selector(YokedOptions, yoked, Needs(twin=True), weighs=True),
        "verifier": Selector(VerifierOptions, verifier, Needs(features=("truth",))),
        "reward": Selector(RewardOptions, reward),
        "realism": Selector(RealismOptions, realism, fault=neighbours_fault),
        "rarity": Selector(RarityOptions, rarity, fault=neighbours_fault),
        "novelty": Selector(NoveltyOptions, novelty, fault=novelty_fault),
        "latent_filter": Selector(LatentFilterOptions, latent_filter, fault=latent_fault, unlabelled=latent_unlabelled),
        "classifier": Selector(
            ClassifierOptions,
            classifier,
            takes=("images",),
            reads="probabilities",
            unlabelled=classifier_unlabelled,
        ),
        "discriminator": Selector(
            DiscriminatorOptions, discriminator, Needs(model=True), ("images", "vectors"), (Discriminates,)
        ),
        "likelihood": Selector(LikelihoodOptions, likelihood, Needs(model=True), asks=(Scores,)),
        "hallucination": Selector(
            HallucinationOptions, hallucination, Needs(model=True, ask=True), ("images", "vectors"), (Denoises,)
        ),
        "verified": Selector(VerifiedOptions, verified, takes=("vectors",), fault=verified_fault),
        "richness": Selector(RichnessOptions, richness),
        "tails": Selector(TailsOptions, tails, fault=tails_fault),
        "quota": Selector(
            QuotaOptions,
            quota,
            Needs(train=True),
            ("images", "vectors", "categories", "audio"),
            reads="classes",
            fault=quota_fault,
            unlabelled=quota_unlabelled,
        ),
        "weighted": Selector(WeightedOptions, weighted, weighs=True, fault=weighted_fault),
        "detector": Selector(DetectorOptions, detector, weighs=True),
        "unmarked": Selector(UnmarkedOptions, unmarked, Needs(mark=True, train=True), takes=("images", "vectors")),
    },
    Selector,
)
