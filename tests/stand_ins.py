"""Small networks with random weights in the formats of the published ones, which no test can download."""

import hashlib
import json
from collections import namedtuple
from contextlib import contextmanager
from dataclasses import replace

from collapselab.machine.compat import import_torchvision
from collapselab.store import weights

SIDES = {"dinov2": 28, "clip": 32}
MEAN, DEVIATION = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


def make(name, folder):
    """The path of a stand-in for the published weights ``name``."""
    path = folder / weights.WEIGHTS[name].file
    with seeded():
        if name == "inception":
            script().save(path)
        elif name == "resemblyzer":
            save_voices(path)
        elif name == "inception-torchvision":
            path = path.with_suffix(".safetensors")
            save_torchvision(path)
        else:
            transformer(name).save_pretrained(path)
            write_preprocessing(path, SIDES[name])
    return path


@contextmanager
def seeded():
    """Within it torch draws the same numbers each time."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def admit(monkeypatch, path, name="inception"):
    """Let the file at ``path`` be the published one of that name: its hash is in the registry."""
    digest, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    monkeypatch.setitem(weights.WEIGHTS, name, replace(weights.WEIGHTS[name], sha256=digest, bytes=size))


def script():
    """A TorchScript with the parts of the published one that are called: layers, and an output layer with a bias."""
    import torch

    class Layers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 32, 13, stride=13)

        def forward(self, images):  # to 2048 features, means over parts of the image
            return torch.nn.functional.adaptive_avg_pool2d(torch.relu(self.convolution(images)), (8, 8))

    class Inception(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = Layers()
            self.output = torch.nn.Linear(2048, 10)

        def forward(self, images):
            return self.output(self.layers((images - 128) / 128).flatten(1)).softmax(1)

    return torch.jit.script(Inception().eval())


def save_voices(path):
    """An encoder of voices as Resemblyzer's file has it, with what its training needed beside."""
    import torch

    parts = {"lstm": torch.nn.LSTM(40, 256, 3, batch_first=True), "linear": torch.nn.Linear(256, 256)}
    state = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    torch.save({"step": 1, "model_state": {**state, "similarity_weight": torch.ones(1)}}, path)


def save_torchvision(path):
    from safetensors.torch import save_file

    import_torchvision()
    from torchvision.models import inception_v3

    save_file(inception_v3(weights=None, init_weights=False).state_dict(), path)


def transformer(name):
    import_torchvision()
    import transformers

    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDES[name]}
    if name == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**shape, patch_size=14)).eval()
    config = transformers.CLIPVisionConfig(**shape, patch_size=16, intermediate_size=32, projection_dim=8)
    return transformers.CLIPVisionModelWithProjection(config).eval()


def write_preprocessing(folder, side):
    said = {"crop_size": {"height": side, "width": side}, "image_mean": MEAN, "image_std": DEVIATION}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))


def captioner(folder):
    """A CLIP with random weights, saved as its two halves: ``text`` with a tokenizer of bytes, and ``pictures``.

    cosine(data, captions): what transformers' own CLIP of both says, (pictures, captions).
    """
    import_torchvision()
    import torch
    import transformers

    letters = [chr(code) for code in range(33, 127)]
    words = {one: place for place, one in enumerate([*letters, *(f"{one}</w>" for one in letters)])}
    words |= {"<|startoftext|>": len(words), "<|endoftext|>": len(words) + 1}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokens = transformers.CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    text = transformers.CLIPTextConfig(**shape, vocab_size=len(words), max_position_embeddings=32, **ends)
    vision = transformers.CLIPVisionConfig(**shape, image_size=SIDES["clip"], patch_size=16)
    config = transformers.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    with seeded():
        both = transformers.CLIPModel(config).eval()
    halves = {
        "text": (transformers.CLIPTextModelWithProjection, "text_model", "text_projection"),
        "pictures": (transformers.CLIPVisionModelWithProjection, "vision_model", "visual_projection"),
    }
    for name, (kind, model, projection) in halves.items():
        part = kind(getattr(config, {"text": "text_config", "pictures": "vision_config"}[name]))
        part.config.projection_dim = 8
        part = kind(part.config)
        getattr(part, model).load_state_dict(getattr(both, model).state_dict())
        getattr(part, projection).load_state_dict(getattr(both, projection).state_dict())
        part.save_pretrained(folder / name)
    tokens.save_pretrained(folder / "text")
    write_preprocessing(folder / "pictures", SIDES["clip"])

    def cosine(data, captions):
        from collapselab.features.resize import resize_into

        images = torch.zeros(len(data), 3, SIDES["clip"], SIDES["clip"])
        resize_into([torch.from_numpy(one) for one in data], images)
        mean, deviation = (255 * torch.tensor(values).view(-1, 1, 1) for values in (MEAN, DEVIATION))
        told = tokens(list(captions), padding=True, return_tensors="pt")
        with torch.no_grad():
            found = both(**told, pixel_values=(images - mean) / deviation)
        return (found.image_embeds @ found.text_embeds.T).numpy()

    return namedtuple("Captioner", ["text", "pictures", "cosine"])(folder / "text", folder / "pictures", cosine)


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def speaker(folder):
    """A sentence encoder, ``encoder``, and a model that describes pictures, ``captioner``, with random weights and a
    tokenizer of a few words."""
    import_torchvision()
    import tokenizers
    import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "picture", "shows", "a", *DIGITS]
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({one: i for i, one in enumerate(words)}, "[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    plain.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    marks = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), words, strict=False))
    tokens = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **marks)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = shape | {"vocab_size": len(words), "encoder_hidden_size": 16, "max_position_embeddings": 32}
    text |= {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0, "projection_dim": 8}
    vision = shape | {"image_size": 32, "patch_size": 16, "projection_dim": 8}
    both = transformers.BlipConfig(text_config=text, vision_config=vision, projection_dim=8, image_text_hidden_size=8)
    with seeded():
        transformers.BertModel(transformers.BertConfig(**shape, vocab_size=len(words))).save_pretrained(
            folder / "encoder"
        )
        transformers.BlipForConditionalGeneration(both).save_pretrained(folder / "captioner")
    tokens.save_pretrained(folder / "encoder")
    pictures = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    transformers.BlipProcessor(pictures, tokens).save_pretrained(folder / "captioner")
    return folder
