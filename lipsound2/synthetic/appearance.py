"""Appearance: one public-domain portrait turned into several people, each a person layer over a background.

The portrait is scikit-image's `astronaut` (E. Collins, NASA). A look changes side, proportions, skin, hair, suit, beard
and background; `portrait.yaml` says where lips, eyes and hair are.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError

Color = tuple[float, float, float]  # red, green, blue


@dataclass(frozen=True)
class Appearance:
    """How a speaker looks.

    Args:
        mirror: left and right exchanged.
        height: of the face, as a share of the frame's height.
        slim: height over width, relative to the portrait.
        shift: of the face from the middle, as a share of the frame's height (right, down).
        skin, hair, light: factors of red, green, blue.
        suit: hue of the suit, turned by so many degrees.
        beard: 0 none to 1 dark.
        background: colors at the top and the bottom, 0 to 255; None is the portrait's own.
    """

    mirror: bool = False
    height: float = 0.53
    slim: float = 1.0
    shift: tuple[float, float] = (0.0, 0.07)
    skin: Color = (1.0, 1.0, 1.0)
    hair: Color = (1.0, 1.0, 1.0)
    light: Color = (1.0, 1.0, 1.0)
    suit: float = 0.0
    beard: float = 0.0
    background: tuple[Color, Color] | None = None


APPEARANCES: tuple[Appearance, ...] = (
    Appearance(),
    Appearance(
        mirror=True,
        height=0.56,
        slim=0.93,
        shift=(-0.03, 0.06),
        skin=(0.86, 0.76, 0.68),
        hair=(0.42, 0.36, 0.34),
        suit=190.0,
        beard=0.45,
        background=((88.0, 122.0, 140.0), (52.0, 70.0, 84.0)),
    ),
)


def appearance_of(index: int) -> Appearance:
    """The appearance of speaker `index` (from 0): the first two are fixed, the others drawn from their index."""
    if index < len(APPEARANCES):
        return APPEARANCES[index]
    draw = np.random.default_rng([index, 1009])
    skin = float(draw.uniform(0.55, 1.02)) ** np.array([0.8, 1.15, 1.45])
    hair = float(draw.uniform(0.22, 1.1)) * draw.uniform(0.93, 1.07, 3)
    light = draw.uniform(0.85, 1.08) * np.array([1.0, 1.0, draw.uniform(0.93, 1.06)])
    wall = draw.uniform(60, 200) + draw.uniform(-28, 28, 3)
    return Appearance(
        mirror=bool(draw.integers(2)),
        height=float(draw.uniform(0.48, 0.6)),
        slim=float(draw.uniform(0.9, 1.08)),
        shift=(float(draw.uniform(-0.06, 0.06)), float(draw.uniform(0.05, 0.1))),
        skin=_color(skin),
        hair=_color(hair),
        light=_color(light),
        suit=float(draw.uniform(0, 360)),
        beard=float(draw.choice([0.0, 0.0, draw.uniform(0.2, 0.6)])),
        background=(_color(wall), _color(np.clip(wall + draw.uniform(-45, 35), 15, 235))),
    )


def _color(values: np.ndarray) -> Color:
    return (float(values[0]), float(values[1]), float(values[2]))


@dataclass(frozen=True)
class Layers:
    """A look at one frame size.

    Args:
        person: (H + 2 margin, W + 2 margin, 4) uint8, RGB already multiplied by the coverage in channel 3.
        background: (H, W, 3) uint8 RGB.
        points: named points (n, 2) float64 in pixels of `person`, by rising x where they are a curve.
        margin: pixels of `person` beyond each edge of the frame.
    """

    person: np.ndarray
    background: np.ndarray
    points: dict[str, np.ndarray]
    margin: int


@functools.cache
def _portrait() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The image (512, 512, 3) uint8 RGB, and the points in it."""
    package = importlib.util.find_spec("skimage")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0]) / "data" / "astronaut.png" if folders else None
    if path is None or not path.exists():
        raise LipsoundError(
            "the portrait of the package 'scikit-image' is missing; run: tools/install.sh --extras mini, "
            "or without a checkout: pip install --no-deps scikit-image"
        )
    notes = read_yaml(Path(__file__).with_name("portrait.yaml"))
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    size = notes.pop("size")
    if image is None or list(image.shape[:2]) != size:
        found = "no readable image" if image is None else list(image.shape[:2])
        raise LipsoundError(f"{path}: expected an image of {size}, found {found}; install scikit-image anew")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB), {
        name: np.array(points, dtype=np.float64) for name, points in notes.items()
    }


def layers(style: Appearance, width: int, height: int) -> Layers:
    """Prepare a look for frames of a size.

    Args:
        style: the look.
        width, height: of the frames, in pixels.
    """
    frame, points = _portrait()
    person = np.dstack([_styled(frame, points, style), _mask(points["outline"], 1.2) * 255])
    margin = round(0.08 * height)
    affine = _placement(points, style, width, height, margin)
    size = (width + 2 * margin, height + 2 * margin)
    warped = cv2.warpAffine(person, affine, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    warped = np.clip(warped, 0, 255)
    warped[..., :3] *= (warped[..., 3:] / 255).astype(np.float32)
    if style.background is None:
        behind = _without_person(frame, points)
        behind = cv2.warpAffine(behind, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        background = behind[margin:-margin, margin:-margin]
    else:
        background = _wall(style.background, width, height)
    moved = {name: _sorted(curve @ affine[:, :2].T + affine[:, 2]) for name, curve in points.items()}
    return Layers(
        person=(warped + 0.5).astype(np.uint8),
        background=np.clip(background * style.light + 0.5, 0, 255).astype(np.uint8),
        points=moved,
        margin=margin,
    )


def _sorted(curve: np.ndarray) -> np.ndarray:
    """A mirrored curve runs the other way; they all run to the right."""
    return curve[::-1] if curve[0, 0] > curve[-1, 0] else curve


def _placement(points: dict[str, np.ndarray], style: Appearance, width: int, height: int, margin: int) -> np.ndarray:
    """Affine map (2, 3) from the portrait to the person layer: eyes level, face of the wanted size and place."""
    left, right = points["left_upper_lid"].mean(0), points["right_upper_lid"].mean(0)
    oval = points["oval"]
    middle = (oval.min(0) + oval.max(0)) / 2
    zoom = style.height * height / np.ptp(oval[:, 1])
    angle = -np.arctan2(right[1] - left[1], right[0] - left[0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.diag([(-zoom if style.mirror else zoom) / style.slim, zoom])
    linear = scale @ turn
    target = np.array([width / 2, height / 2]) + np.array(style.shift) * height + margin
    return np.column_stack([linear, target - linear @ middle])


def _mask(polygon: np.ndarray, feather: float) -> np.ndarray:
    """Soft mask (512, 512) float32 in [0, 1] of a polygon."""
    canvas = np.zeros((512, 512), np.float32)
    cv2.fillPoly(canvas, [np.round(polygon * 16).astype(np.int32)], 1.0, lineType=cv2.LINE_AA, shift=4)
    return cv2.GaussianBlur(canvas, (0, 0), feather)


def _styled(frame: np.ndarray, points: dict[str, np.ndarray], style: Appearance) -> np.ndarray:
    """The portrait with skin, hair, suit, beard and light of a look: (512, 512, 3) float32."""
    rows, columns = np.mgrid[:512, :512].astype(np.float32)
    oval = points["oval"]
    face = _mask(np.concatenate([points["fringe"], oval[oval[:, 1] > 100]]), 1.5)
    above_collar = np.clip((194 - rows) / 8, 0, 1)
    # The sides of the head show below the hair, the neck below the face.
    hair = np.clip(_mask(points["outline"], 1.0) - face, 0, 1) * np.clip((126 - rows) / 6, 0, 1)
    suit = np.clip((rows - 182) / 8, 0, 1) * np.clip(np.abs(columns - 222) / 40, 0, 1)
    image = frame.astype(np.float32)
    turned = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV_FULL)
    turned[..., 0] += np.uint8(round(style.suit / 360 * 256) % 256)
    image += suit[..., None] * (cv2.cvtColor(turned, cv2.COLOR_HSV2RGB_FULL) - image)
    image *= 1 + hair[..., None] * (np.array(style.hair, np.float32) - 1)
    skin = np.clip(above_collar - hair, 0, 1)
    image *= 1 + skin[..., None] * (np.array(style.skin, np.float32) - 1)
    image *= 1 - _beard(points, face, rows)[..., None] * (style.beard * np.array([0.6, 0.57, 0.5], np.float32))
    return np.asarray(image * np.array(style.light, np.float32))


def _beard(points: dict[str, np.ndarray], face: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Where and how densely a beard grows: (512, 512) float32 in [0, 1]."""
    lips = _mask(np.concatenate([points["outer_upper"], points["outer_lower"][::-1]]), 1.0)
    nose = points["nose_base"][0, 1]
    grain = np.random.default_rng(5).normal(0.85, 0.22, (512, 512)).astype(np.float32)
    columns = np.arange(512, dtype=np.float32)[None]
    # Over the lip a moustache only as wide as the mouth; below it cheeks and chin.
    start = nose + 1 + 13 * np.clip((np.abs(columns - points["nose_base"][0, 0]) - 16) / 12, 0, 1)
    grown = np.clip((rows - start) / (6 + 1.6 * (start - nose)), 0, 1) * face * (1 - np.clip(lips * 1.6, 0, 1))
    return cv2.GaussianBlur(grown, (0, 0), 1.5) * np.clip(cv2.GaussianBlur(grain, (0, 0), 0.7), 0, 1.2)


def _without_person(frame: np.ndarray, points: dict[str, np.ndarray]) -> np.ndarray:
    """The portrait's backdrop, grown softly into the place of the person: (512, 512, 3) float32."""
    free = 1 - np.clip(_mask(points["outline"], 4.0) * 4, 0, 1)
    free[200:] = 0  # below the shoulders there is more suit than the outline holds
    image = frame.astype(np.float32)
    weight = cv2.GaussianBlur(free, (0, 0), 30) + 1e-4
    filled = cv2.GaussianBlur(image * free[..., None], (0, 0), 30) / weight[..., None]
    return image * free[..., None] + filled * (1 - free[..., None])


def _wall(colors: tuple[Color, Color], width: int, height: int) -> np.ndarray:
    """A wall of two colors that run into each other, a little cloudy: (height, width, 3) float32."""
    slope = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    wall = (1 - slope) * np.array(colors[0], np.float32) + slope * np.array(colors[1], np.float32)
    clouds = np.random.default_rng(7).normal(0, 1, (9, 12)).astype(np.float32)
    return wall + 6 * cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
