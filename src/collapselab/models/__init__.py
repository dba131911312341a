"""The model families, by the names that a study uses; importing them costs no torch."""

from ..core.registry import Registry
from .base import Model
from .box import Box
from .class_gaussian import ClassGaussian
from .conditional_gaussian import ConditionalGaussian
from .diffusion import Diffusion
from .flow import Flow
from .gan import GAN
from .gaussian import Gaussian
from .gaussian_diffusion import GaussianDiffusion
from .gmm import GMM
from .kde import KDE
from .linear_classifier import LinearClassifier
from .linear_regression import LinearRegression
from .logistic_regression import LogisticRegression
from .multinomial import Multinomial
from .naive_bayes import NaiveBayes
from .ngram import NGram
from .poisson import Poisson
from .ppca import PPCA
from .pretrained import Pretrained
from .pretrained_text import PretrainedText
from .ridge_regression import RidgeRegression
from .stylegan2 import StyleGAN2
from .transformer import Transformer
from .vae import VAE

MODELS: Registry[type[Model]] = Registry(
    "collapselab.families",
    {
        "box": Box,
        "multinomial": Multinomial,
        "naive-bayes": NaiveBayes,
        "poisson": Poisson,
        "gaussian": Gaussian,
        "gaussian-diffusion": GaussianDiffusion,
        "class-gaussian": ClassGaussian,
        "conditional-gaussian": ConditionalGaussian,
        "gmm": GMM,
        "kde": KDE,
        "ppca": PPCA,
        "linear-regression": LinearRegression,
        "ridge-regression": RidgeRegression,
        "linear-classifier": LinearClassifier,
        "logistic-regression": LogisticRegression,
        "vae": VAE,
        "flow": Flow,
        "diffusion": Diffusion,
        "gan": GAN,
        "stylegan2": StyleGAN2,
        "pretrained": Pretrained,
        "ngram": NGram,
        "transformer": Transformer,
        "pretrained-text": PretrainedText,
    },
    type[Model],
)
