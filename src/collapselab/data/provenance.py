"""Where an exported picture comes from, as the picture itself says it: PNG's text, and IPTC's source type in XMP."""

import io
from typing import Any, NamedTuple, Self
from xml.sax.saxutils import escape

import numpy as np

from ..store.cells import Cell

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_KEY = "XML:com.adobe.xmp"  # of the text chunk in which PNG files carry XMP (Adobe 2012, XMP part 3, section 1.1.5)
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 Iptc4xmpExt:DigitalSourceType="{source}"/></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


class Origin(NamedTuple):
    """Where a picture comes from.

    study, arm, seed, generation: the cell whose model made it; index: its place among the samples, None of a sheet of
    several. source: the data set, of real pictures. generated: whether a model made it.
    """

    study: str = ""
    arm: str = ""
    seed: int | None = None
    generation: int | None = None
    index: int | None = None
    source: str = ""
    generated: bool = True

    @classmethod
    def of(cls, path: str, lineage: Any) -> Self:
        """The origin of a sample set, by its path and by what it says of itself: real where it names a data set."""
        if source := lineage.get("source"):
            return cls(source=str(source), generated=False)
        found = Cell.parse(path)
        if found is None:
            return cls(seed=lineage.get("seed"), generation=lineage.get("generation"))
        cell = found[0]
        return cls(cell.study, cell.arm, cell.seed, cell.generation)

    @property
    def told(self) -> dict[str, str]:
        """What is known of it, as text by name."""
        names = ("study", "arm", "seed", "generation", "index", "source")
        values = {name: getattr(self, name) for name in names}
        return {f"collapselab:{name}": str(value) for name, value in values.items() if value not in ("", None)}

    @property
    def plain(self) -> dict[str, str]:
        """The same by names without a prefix, where nothing else is told beside it."""
        return {name.partition(":")[2]: text for name, text in self.told.items()}


def chunks(origin: Origin) -> Any:
    """The text chunks of an origin, as Pillow's PNG writer takes them.

    ``collapselab:study`` and so on; and of what a model made the digital source type ``trainedAlgorithmicMedia`` in XMP
    (IPTC Photo Metadata Standard 2023.2), by which others know it. Nothing is said of how real pictures were made.
    """
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, text in origin.told.items():
        info.add_itxt(name, text)
    if origin.generated:
        info.add_itxt(XMP_KEY, XMP.format(source=escape(GENERATED)))
    return info


def encode_told(pixels: np.ndarray, origin: Origin) -> bytes:
    """The bytes of a PNG file of (1 or 3, H, W) uint8 pixels that says where it comes from; always the same ones."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    image.save(stream, "PNG", pnginfo=chunks(origin))
    return stream.getvalue()


def read_told(content: bytes) -> dict[str, str]:
    """What a PNG file says of itself, by name; ``digital_source_type`` where XMP has one.

    Raises ValueError for what is no picture, or a damaged one.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            said = dict(getattr(image, "text", {}))
    except MemoryError:
        raise
    except Exception as error:  # what Pillow raises for damaged files is of many kinds
        raise ValueError(f"cannot be read as a picture: {error}") from None
    found = {name.removeprefix("collapselab:"): str(text) for name, text in said.items() if name != XMP_KEY}
    _, _, behind = str(said.get(XMP_KEY, "")).partition('DigitalSourceType="')
    return found | ({"digital_source_type": behind.partition('"')[0]} if behind else {})
