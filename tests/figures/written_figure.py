"""What a journal checks of the files of a figure, each fault with its place: size, text, fonts, resolution."""

import re
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

WIDTHS, SLACK, MOST_HEIGHT = (89, 183), 0.5, 170
"""Millimetres: of one column and of two, what may lack or be too much, and the most that a page leaves."""
POINTS = (5, 7)
"""Smallest and largest text at final size."""
DPI, MM, POINT = 300, 25.4, 72
"""Pixels of a bitmap, millimetres and points to the inch."""
FONTS = ("Arimo", "LiberationSans", "Arial", "Helvetica")
"""Names of fonts in a PDF begin with one of these, or with a tag of a subset and one of these."""
MOST_MARKS = 20_000
"""Shapes that a drawing program still opens in a moment; more belong into a rasterised layer."""
SVG = "{http://www.w3.org/2000/svg}"
MARKS = tuple(SVG + each for each in ("path", "use", "circle", "rect", "line", "polygon"))


def file_faults(path: Path) -> Iterator[str]:
    """Yield what is wrong with one file, by its suffix."""
    found = {".svg": svg_faults, ".pdf": pdf_faults, ".png": png_faults}[path.suffix](path)
    yield from (f"{path.name}: {fault}" for fault in found)


def size_faults(width: float, height: float) -> Iterator[str]:
    """Yield what is wrong with a page of this size in mm."""
    if all(abs(width - each) > SLACK for each in WIDTHS):
        yield f"{width:.1f} mm wide, not {' or '.join(map(str, WIDTHS))}"
    if height > MOST_HEIGHT + SLACK:
        yield f"{height:.1f} mm high, {MOST_HEIGHT} at most"


def _text_faults(size: float, place: str) -> Iterator[str]:
    if not POINTS[0] - 0.01 <= size <= POINTS[1] + 0.01:
        yield f"text of {size:g} pt, not {POINTS[0]} to {POINTS[1]}, {place}"


def svg_points(root: ET.Element) -> np.ndarray:
    """Return width and height of an SVG in points [2]."""
    return np.array([float(root.get(each).removesuffix("pt")) for each in ("width", "height")])


def svg_faults(path: Path) -> Iterator[str]:
    """Yield faults of a vector file for the web: size, size of every text, how many shapes it is made of."""
    root = ET.parse(path).getroot()
    points = svg_points(root)
    scale = points[0] / float(root.get("viewBox").split()[2])
    yield from size_faults(*(points / POINT * MM))
    texts = [each for each in root.iter(SVG + "text") if each.text]
    if not texts:
        yield "no text that can be searched or edited"
    for each in texts:
        given = re.search(r"font(?:-size)?:[^;]*?([\d.]+)px", each.get("style", ""))
        yield from _text_faults(float(given[1]) * scale, f"'{each.text}'") if given else [f"'{each.text}' has no size"]
    if (marks := sum(each.tag in MARKS for each in root.iter())) > MOST_MARKS:
        yield f"{marks} shapes, {MOST_MARKS} at most: rasterise the layer that has most of them"


def pdf_faults(path: Path) -> Iterator[str]:
    """Yield faults of a vector file for print: size of the page and of texts, and fonts, as matplotlib writes them."""
    data = path.read_bytes()
    for width, height in _pages(data):
        yield from size_faults(width, height)
    sizes = {round(size, 3) for stream in _streams(data) for size in _sizes(stream)}
    for size in sorted(sizes):
        yield from _text_faults(size, "in the page")
    yield from font_faults(data)


def _pages(data: bytes) -> np.ndarray:
    """Return width and height of every page in mm, [pages, 2]."""
    boxes = re.findall(rb"/MediaBox\s*\[([^\]]+)\]", data)
    corners = np.array([each.split() for each in boxes], dtype=float)
    return (corners[:, 2:] - corners[:, :2]) / POINT * MM


def _streams(data: bytes) -> Iterator[bytes]:
    """Yield streams that draw text, unpacked."""
    for found in re.finditer(rb"/FlateDecode[^>]*>>\s*stream\r?\n", data):
        try:
            stream = zlib.decompressobj().decompress(data[found.end() :])
        except zlib.error:
            continue
        if re.search(rb"\bBT\b.*\bTf\b", stream, re.DOTALL) and b"\0" not in stream[:200]:
            yield stream


def _sizes(stream: bytes) -> Iterator[float]:
    """Yield the size of each text in points: that of its font times the scale of the matrix before it."""
    number = rb"(-?[\d.]+)\s+"
    for found in re.finditer(number * 4 + rb"-?[\d.]+\s+-?[\d.]+\s+cm\s+BT\s+/\S+\s+([\d.]+)\s+Tf", stream):
        a, b, c, d, size = map(float, found.groups())
        yield size * np.sqrt(abs(a * d - b * c))


def font_faults(data: bytes) -> Iterator[str]:
    """Yield fonts that are not TrueType (Type 42), not embedded, or of another family."""
    fonts = {re.search(rb"/(?:BaseFont|Name)\s*/(\S+)", each)[1].decode(): each for each in _fonts(data)}
    if not fonts:
        yield "no font: its texts are drawings"
    for name, each in sorted(fonts.items()):
        kind = re.search(rb"/Subtype\s*/(\w+)", each)[1].decode()
        if kind not in ("CIDFontType2", "TrueType"):
            yield f"font {name} is {kind}, not TrueType (Type 42)"
        if not name.split("+")[-1].startswith(FONTS):
            yield f"font {name} is none of {', '.join(FONTS)}"
        descriptor = re.search(rb"/FontDescriptor\s+(\d+)\s+0\s+R", each)
        if not (descriptor and b"/FontFile2" in _object(data, int(descriptor[1]))):
            yield f"font {name} is not embedded as TrueType"


def _fonts(data: bytes) -> list[bytes]:
    """Return the dictionaries of fonts that hold glyphs: a Type 0 font only points to one that does."""
    found = re.findall(rb"<<[^>]*?/Type\s*/Font\s(?:(?!endobj).)*", data, re.DOTALL)
    return [each for each in found if not re.search(rb"/Subtype\s*/Type0", each)]


def _object(data: bytes, number: int) -> bytes:
    return re.search(rb"(?:^|\s)%d 0 obj(.*?)endobj" % number, data, re.DOTALL)[1]


def png_faults(path: Path) -> Iterator[str]:
    """Yield faults of a bitmap: its resolution, and whether its pixels make the size of a column at that."""
    with Image.open(path) as image:
        size, given = np.array(image.size), np.array(image.info.get("dpi", (np.nan, np.nan)), dtype=float)
    if not np.all(np.abs(given - DPI) < 0.5):
        yield f"{given[0]:.0f} dpi, not {DPI}"
    yield from size_faults(*(size / DPI * MM))


def sizes_agree(paths: list[Path]) -> Iterator[str]:
    """Yield files of one figure whose size in mm is not that of the first."""
    sizes = {path.name: _millimetres(path) for path in paths}
    first, *others = sizes.items()
    for name, size in others:
        if np.abs(size - first[1]).max() > SLACK:
            yield f"{name} is {size[0]:.1f} x {size[1]:.1f} mm, {first[0]} {first[1][0]:.1f} x {first[1][1]:.1f}"


def _millimetres(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        with Image.open(path) as image:
            return np.array(image.size) / DPI * MM
    if path.suffix == ".svg":
        return svg_points(ET.parse(path).getroot()) / POINT * MM
    return _pages(path.read_bytes())[0]
