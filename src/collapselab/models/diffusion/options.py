"""How a diffusion model is built, trained and sampled, and the presets."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...core.kinds import KindName
from ..options import InSteps, Options, check_betas, values, with_preset


class DiffusionOptions(InSteps, Options):
    """How a diffusion model is built, trained and sampled. ``preset`` fills in every option that is not given."""

    preset: str = Field(
        "tiny", description="a name of PRESETS: the options that it does not share with the defaults below"
    )

    network: Literal["mlp", "unet", "diffusers"] = Field(
        "unet",
        description="residual perceptron, also for vectors; DDPM++ U-Net; or diffusers' UNet2DModel",
    )
    unet: dict[str, Any] | None = Field(
        None, description="diffusers: the arguments of its UNet2DModel; the options of the other networks do not count"
    )
    channels: int = Field(
        128, ge=4, multiple_of=4, description="width of the perceptron, or channels at full resolution"
    )
    blocks: int = Field(
        4, ge=1, le=100, description="residual blocks of the perceptron, or per resolution of the U-Net"
    )
    octaves: int = Field(
        0, ge=0, le=10, description="perceptron on vectors: of each number it also sees sin and cos of so many octaves"
    )
    multipliers: tuple[int, ...] = Field(
        (2, 2, 2),
        min_length=1,
        max_length=10,
        description="U-Net: channels of each resolution as multiples; each halves height and width",
    )
    attention: tuple[int, ...] = Field((16,), description="U-Net: heights that have self-attention, in pixels")
    classes: int = Field(10, ge=0, description="number of classes, labelled 0 .. classes - 1; 0: unconditional")
    label_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of training images whose label is hidden; guidance (sampling_bias < 1) needs some",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of hidden units that are dropped in training")
    flip: bool = Field(False, description="mirror each training image left to right with probability 1/2")
    augment: float = Field(
        0.0,
        ge=0,
        le=1,
        description="probability of each geometric transformation of a training image, none of which leaks",
    )

    parameterisation: Literal["edm", "ddpm", "flow", "score", "karras_ve"] = Field(
        "edm",
        description="Karras et al.'s preconditioning, Ho et al.'s discrete noise levels, a flow's velocity, or what "
        "diffusers' networks of exploding variance say of images in [0, 1]: the score, or sigma times it",
    )
    sigma_data: float = Field(
        0.5,
        gt=0,
        description="standard deviation of the data's pixels, in units of [-1, 1]; vectors are standardised, to have 1",
    )
    p_mean: float = Field(-1.2, description="mean of ln(sigma) in training")
    p_std: float = Field(1.2, gt=0, description="standard deviation of ln(sigma) in training")
    prediction: Literal["epsilon", "v_prediction", "sample"] = Field(
        "epsilon", description="DDPM: what the network predicts"
    )
    timesteps: int = Field(1000, ge=2, le=100_000, description="DDPM: noise levels; flow: what its time 1 is called")
    beta_schedule: Literal["linear", "scaled_linear", "cosine"] = Field(
        "linear", description="DDPM: a name of SCHEDULES, how the noise of a step grows"
    )
    beta_start: float = Field(1e-4, gt=0, lt=1, description="DDPM: variance of the first step's noise; not of cosine")
    beta_end: float = Field(0.02, gt=0, lt=1, description="DDPM: variance of the last step's noise; not of cosine")

    images_seen: int = Field(200_000_000, ge=1, description="training images shown, where the study sets no budget")
    batch: int = Field(512, ge=1, description="images per training step")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, after the ramp-up")
    warmup_images: int = Field(
        10_000_000, ge=0, description="images over which the learning rate grows linearly from 0"
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's decay rates of the two moments")
    ema: Literal["half_life", "power"] = Field(
        "half_life", description="the weights' moving average: of a half-life, or of a share of the training"
    )
    ema_half_life: int = Field(
        500_000, ge=0, description="half_life: the average's half-life, in images; 0: no average"
    )
    ema_ramp: float = Field(0.05, gt=0, description="half_life: it is at most this share of the images seen so far")
    ema_std: float | None = Field(
        None,
        gt=0,
        le=0.28,
        description="power: width of the average, as a share of the training; None: chosen at its end",
    )
    ema_snapshots: int = Field(
        16, ge=1, le=1000, description="power with ema_std None: times at which two averages are kept, to choose from"
    )
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        "float32", description="of matrix products and convolutions; tf32 is a GPU's, and part of its bfloat16"
    )
    snapshots: int = Field(0, ge=0, description="models that are kept from before the end of the training, to look at")

    sampler: Literal["heun", "ddim"] = Field("heun", description="a name of SAMPLERS")
    steps: int = Field(18, ge=2, description="steps of the sampler; Heun's evaluates the network 2 steps - 1 times")
    sigma_min: float = Field(0.002, gt=0, description="lowest noise level before 0")
    sigma_max: float = Field(80.0, gt=0, description="highest noise level")
    rho: float = Field(7.0, gt=0, description="Heun: how strongly the steps gather at low noise")
    churn: float = Field(
        0.0, ge=0, description="Heun: S_churn, the noise that is added in all steps together; 0: the ODE"
    )
    churn_min: float = Field(0.0, ge=0, description="Heun: S_tmin, the lowest noise level at which some is added")
    churn_max: float = Field(1e9, ge=0, description="Heun: S_tmax, the highest")
    churn_noise: float = Field(1.0, gt=0, description="Heun: S_noise, the standard deviation of what is added")
    eta: float = Field(0.0, ge=0, le=1, description="DDIM: 0 solves the ODE, 1 samples as DDPM does")
    sample_batch: int = Field(
        512, ge=1, le=65_536, description="images sampled at once; part of a sample's identity, to rounding"
    )

    @classmethod
    def smallest(cls, kind: KindName) -> dict[str, Any]:
        tiny = {"channels": 16, "blocks": 1, "batch": 16, "sample_batch": 8}
        if kind == "vectors":
            return {"preset": "points", **tiny}
        return {"preset": "tiny", **tiny, "classes": 2, "flip": kind == "images"}

    def check_kind(self, kind: KindName) -> None:
        if kind == "images":
            return
        if kind == "audio":
            self._check_sound()
            return
        if self.network != "mlp":
            raise ValueError(f"network: found {self.network!r}, allowed is 'mlp': the data are vectors and no images")
        if self.flip or self.augment:
            name, found, allowed = ("flip", True, False) if self.flip else ("augment", self.augment, 0)
            raise ValueError(f"{name}: found {found}, allowed is {allowed}: the data are vectors and no images")

    def _check_sound(self) -> None:
        """Raise ValueError for what suits pictures of things, and none of sound."""
        if self.network == "diffusers":
            raise ValueError(
                "network: found 'diffusers', allowed are 'mlp' and 'unet': the data are clips and no images"
            )
        if self.flip or self.augment:
            name, found, allowed = ("flip", True, False) if self.flip else ("augment", self.augment, 0)
            raise ValueError(f"{name}: found {found}, allowed is {allowed}: mirrored, a clip is another sound")

    def of_weights(self) -> dict[str, Any]:
        built = {
            "mlp": ("channels", "blocks", "octaves"),
            "unet": ("channels", "blocks", "multipliers", "attention"),
            "diffusers": ("unet",),
        }
        betas = () if self.beta_schedule == "cosine" else ("beta_start", "beta_end")
        process = {"edm": ("sigma_data",), "ddpm": ("prediction", "timesteps", "beta_schedule", *betas)}
        process |= {"flow": ("timesteps",), "score": (), "karras_ve": ()}
        told = {"augment": "above 0" if self.augment else 0}  # the network has an input for it, or none
        names = ("network", *built[self.network], "classes", "parameterisation", *process[self.parameterisation])
        return values(self, *names) | told

    @property
    def left_open(self) -> tuple[str, ...]:
        return ("ema_std",) if self.ema == "power" and self.ema_std is None else ()

    def settled(self) -> Self:
        return self.model_copy(update={"ema_std": 0.05}) if self.left_open else self

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        return with_preset(given, PRESETS, cls.model_fields["preset"].default)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"sigma_min: found {self.sigma_min}, allowed are numbers below sigma_max = {self.sigma_max}"
            )
        if (self.network == "diffusers") != (self.unet is not None):
            found = "none" if self.unet is None else "one"
            raise ValueError(
                f"unet: found {found} with network {self.network!r}; 'diffusers' needs it, no other takes it"
            )
        fourier = (self.unet or {}).get("time_embedding_type") == "fourier"
        if fourier and self.parameterisation not in ("score", "karras_ve"):
            raise ValueError(
                "unet: found time_embedding_type 'fourier', allowed is 'positional': the other takes the log of a "
                "noise level, with parameterisation score or karras_ve"
            )
        if self.network == "diffusers" and self.augment:
            raise ValueError(f"augment: found {self.augment}, allowed is 0: diffusers' network cannot be told of it")
        if self.network == "diffusers" and self.label_dropout and self.classes:
            embedded = self.unet.get("num_class_embeds") or 0
            if self.classes == embedded:
                raise ValueError(
                    f"label_dropout: found {self.label_dropout}, allowed is 0: with {embedded} classes in unet and in "
                    "classes none stands for no label"
                )
        if self.beta_start > self.beta_end:
            raise ValueError(
                f"beta_start: found {self.beta_start}, allowed are numbers up to beta_end = {self.beta_end}"
            )
        if self.parameterisation == "ddpm" and self.sampler == "ddim" and self.steps > self.timesteps:
            raise ValueError(f"steps: found {self.steps}, allowed are 2 to timesteps = {self.timesteps}")
        check_betas(self.betas)
        return self


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # 8x8 digits on one CPU core in seconds. A small U-Net covers more of them (recall .91 against .73 on 800 training
    # images) at eight times the time.
    "tiny": {
        "network": "mlp",
        "channels": 256,
        "blocks": 3,
        "sigma_data": 0.75,
        "p_mean": -0.4,
        "p_std": 1.0,
        "images_seen": 128_000,
        "batch": 128,
        "learning_rate": 2e-3,
        "warmup_images": 2_560,
        "ema_half_life": 5_000,
        "steps": 16,
        "sigma_min": 0.01,
        "sample_batch": 200,
    },
    # 28x28 digits on one CPU core in four minutes. Of 2,500 of them 1,000 samples have a Fréchet distance of 59 in
    # lenet's features, where other real digits have 4; precision .65, recall .94. A wide perceptron comes to 230.
    "digits28": {
        "channels": 8,
        "blocks": 1,
        "multipliers": (1, 4, 4),
        "attention": (),
        "classes": 0,
        "sigma_data": 0.6,
        "p_mean": -0.8,
        "p_std": 1.0,
        "images_seen": 40_000,
        "batch": 32,
        "learning_rate": 3e-3,
        "warmup_images": 1_000,
        "ema_half_life": 2_000,
        "steps": 16,
        "sigma_min": 0.01,
        "sample_batch": 200,
    },
    # Karras et al. 2022, table 7: DDPM++ for CIFAR-10, with labels dropped so that the model can be guided.
    "cifar10": {"dropout": 0.13, "augment": 0.12, "precision": "bfloat16"},
    # Half the channels, a quarter of the parameters and of the work: small enough for many generations.
    "small32": {
        "channels": 64,
        "dropout": 0.1,
        "images_seen": 20_000_000,
        "batch": 256,
        "learning_rate": 5e-4,
        "warmup_images": 500_000,
        "ema_half_life": 100_000,
        "precision": "bfloat16",
    },
    # Karras et al. 2022, table 7: DDPM++ for FFHQ at 64 x 64; 40 steps are 79 evaluations.
    "faces64": {
        "multipliers": (1, 2, 2, 2),
        "classes": 0,
        "dropout": 0.05,
        "augment": 0.15,
        "batch": 256,
        "learning_rate": 2e-4,
        "precision": "bfloat16",
        "steps": 40,
        "sample_batch": 256,
    },
    # A thousand points in the plane on one CPU core in seconds.
    "points": {
        "network": "mlp",
        "channels": 128,
        "blocks": 3,
        "octaves": 4,
        "classes": 0,
        "sigma_data": 1.0,
        "images_seen": 256_000,
        "batch": 256,
        "learning_rate": 2e-3,
        "warmup_images": 5_120,
        "ema_half_life": 10_000,
        "steps": 20,
        "sigma_min": 0.005,
        "sample_batch": 500,
    },
}
