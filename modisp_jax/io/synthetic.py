"""A raw photo that the package makes itself: a landscape in linear light, and a camera that takes it.

The picture has what an image pipeline must cope with: a sun that clips, gradients, clouds, fine texture, saturated and
skin-like colours, a grey scale, a resolution target, hard edges and deep shadow. Everything is drawn with formulas and
lattice noise in relative coordinates, so that the same seed gives the same scene at every size.
"""

import numpy as np

from modisp_jax.io.dng_color import Calibration, CameraProfile, ccm_at, cct_tint_to_neutral
from modisp_jax.io.dng_write import write_dng

__all__ = ["CAMERA", "simulate_mosaic", "synthetic_scene", "write_dng", "write_synthetic_dng"]

CAMERA = CameraProfile(
    calibrations=(
        Calibration(2856.0, np.array([[0.95, -0.44, -0.03], [-0.36, 1.14, 0.23], [-0.04, 0.15, 0.60]])),
        Calibration(6504.0, np.array([[0.70, -0.20, -0.06], [-0.40, 1.20, 0.22], [-0.08, 0.20, 0.58]])),
    ),
    source="dng",
)
"""A made-up camera: round numbers in the range of published ColorMatrix values, for illuminants A (17) and D65 (21)."""

# The chart's patches, linear sRGB: skins, sky, foliage, flower; strong and pure colours; six greys.
# fmt: off
_PATCHES = np.array(
    [
        [0.17, 0.085, 0.058], [0.54, 0.31, 0.22], [0.11, 0.19, 0.33],
        [0.10, 0.15, 0.05], [0.22, 0.21, 0.43], [0.13, 0.51, 0.40],
        [0.68, 0.20, 0.025], [0.06, 0.10, 0.38], [0.53, 0.09, 0.12],
        [0.11, 0.045, 0.14], [0.34, 0.50, 0.045], [0.75, 0.36, 0.03],
        [0.03, 0.045, 0.28], [0.06, 0.30, 0.065], [0.42, 0.03, 0.04],
        [0.83, 0.57, 0.02], [0.49, 0.09, 0.30], [0.0, 0.235, 0.37],
        [0.88, 0.88, 0.86], [0.58, 0.58, 0.575], [0.355, 0.36, 0.36],
        [0.19, 0.19, 0.19], [0.09, 0.09, 0.09], [0.032, 0.032, 0.033],
    ],
    np.float32,
).reshape(4, 6, 3)
# fmt: on


def _smooth(low, high, x):
    """0 below ``low``, 1 above ``high``, a cubic between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _lattice(rng, x, y, cells_x, cells_y):
    """Cubic B-spline noise, about zero, on the grid of ``x`` [W] and ``y`` [H] in [0, 1]; [H, W]."""
    values = rng.standard_normal((cells_y + 3, cells_x + 3)).astype(np.float32)
    if cells_x > 2 * len(x):  # finer than the pixels: it averages out (but is drawn, so that all sizes draw alike)
        return np.zeros((len(y), len(x)), np.float32)
    return _spline(y * cells_y, cells_y) @ values @ _spline(x * cells_x, cells_x).T


def _spline(position, cells):
    """Weights [n, cells + 3] of uniform cubic B-splines at ``position`` [n]."""
    position = np.clip(position, 0, cells - 1e-3)
    first = position.astype(int)
    t = position - first
    parts = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=-1) / 6
    weights = np.zeros((len(position), cells + 3), np.float32)
    for k in range(4):
        weights[np.arange(len(position)), first + k] = parts[:, k]
    return weights


def _fractal(rng, x, y, cells_x, cells_y, octaves, roughness=0.5):
    """Sum of ``octaves`` noises, each twice as fine and ``roughness`` times as strong; about unit variance."""
    total, power = 0, 0
    for k in range(octaves):
        total = total + roughness**k * _lattice(rng, x, y, cells_x << k, cells_y << k)
        power += roughness ** (2 * k)
    return total * np.float32(2 / np.sqrt(power))


def _over(image, mask, color):
    """Paints ``color`` ([3] or [H, W, 3]) over ``image`` where ``mask`` [H, W] is 1."""
    mask = mask[..., None]
    return image + mask * (np.asarray(color, np.float32) - image)


def synthetic_scene(size=(768, 1024), seed=0):
    """A lake in the mountains, with a colour chart on its shore, in scene-linear sRGB.

    Float32 [H, W, 3]; 1 is a white surface in sunlight, the sun goes up to 60. Composed for 4:3; other shapes stretch.
    """
    height, width = size
    if height < 32 or width < 32:
        raise ValueError(f"size: expected at least (32, 32), got {size}")
    rng = np.random.default_rng(seed)
    y = ((np.arange(height) + 0.5) / height).astype(np.float32)
    x = ((np.arange(width) + 0.5) / width).astype(np.float32)
    image = _sky(rng, x, y)
    image = _mountains(rng, image, x, y)
    image = _lake(rng, image, x, y)
    image = _meadow(rng, image, x, y)
    image = _chart(image, x, y)
    image = _balls(rng, image, x, y)
    image = _tree(rng, image, x, y)
    return np.maximum(image, 0).astype(np.float32)


_SUN = (0.70, 0.115)
_HORIZON, _SHORE = 0.47, 0.60


def _sky(rng, x, y):
    grid_x, grid_y = np.meshgrid(x, y)
    t = np.clip(grid_y / _HORIZON, 0, 1)[..., None]
    zenith, low = np.float32([0.07, 0.19, 0.52]), np.float32([0.62, 0.72, 0.82])
    image = zenith + (low - zenith) * t**1.3
    distance = np.hypot((grid_x - _SUN[0]) * 4 / 3, grid_y - _SUN[1])[..., None]
    glow = 0.9 * np.exp(-distance / 0.035) + 0.28 * np.exp(-distance / 0.16)
    image = image + glow * np.float32([1.0, 0.92, 0.76])
    # Clouds: rows are compressed towards the horizon, as a flat layer is in perspective.
    rows = 1 / (1.12 - 0.9 * np.clip(y / _HORIZON, 0, 1.1)) / 8.5
    density = _fractal(rng, x, rows, 4, 9, 6, 0.55)
    cover = _smooth(0.25, 1.5, density)
    # Light from the sun's side: the density falls towards it on the bright flank of a cloud.
    slope = density - np.roll(density, (max(1, len(y) // 90), -max(1, len(x) // 70)), axis=(0, 1))
    shade = np.clip(0.80 + 0.22 * slope - 0.16 * cover, 0.35, 1.15)
    silver = (1 + 1.1 * np.exp(-distance[..., 0] / 0.12))[..., None]
    cloud = shade[..., None] * np.float32([1.0, 0.985, 0.97]) * silver
    image = _over(image, 0.88 * cover, cloud)
    disc = 1 - _smooth(0.0165, 0.0185, distance[..., 0])
    return _over(image, disc, [60.0, 54.0, 45.0])


def _ridge(rng, x, level, relief, cells, octaves=7, roughness=0.5):
    """Height profile [W] of a ridge, in y (down), about ``level``."""
    line = _fractal(rng, x, np.full(1, 0.5, np.float32), cells, 1, octaves, roughness)[0]
    return level - relief * line


def _mountains(rng, image, x, y):
    grid_y = y[:, None]
    soft = 1.0 / len(y)
    # Far range: rock and snow in haze. Folded noise makes gullies; light comes from the right.
    ridge = _ridge(rng, x, 0.315, 0.055, 5, 8, 0.52)
    depth = grid_y - ridge
    relief = 1.2 - np.abs(_fractal(rng, x, y, 9, 7, 2, 0.6)) + 0.45 * _fractal(rng, x, y, 24, 26, 5, 0.66)
    light = 2.2 * (relief - np.roll(relief, (max(1, len(y) // 500), -max(1, len(x) // 250)), axis=(0, 1)))
    rock = np.float32([0.20, 0.225, 0.29]) * np.clip(1 + 1.1 * light, 0.25, 2.2)[..., None]
    snow = _smooth(-0.022, 0.022, 0.050 - depth + 0.022 * relief - 0.030 * np.abs(light))
    rock = _over(rock, snow, np.float32([0.74, 0.80, 0.90]) * np.clip(1 + 0.55 * light, 0.35, 1.5)[..., None])
    haze = 0.62 * _smooth(0.02, 0.19, depth)[..., None]
    rock = rock + haze * (np.float32([0.36, 0.47, 0.60]) - rock)
    image = _over(image, _smooth(-soft, soft, depth), rock)
    # Wooded hills: two ridges with spruce tops, the nearer one darker.
    for level, relief_y, cells, color, veil in (
        (0.425, 0.020, 3, (0.075, 0.105, 0.075), 0.38),
        (0.452, 0.016, 4, (0.035, 0.062, 0.024), 0.10),
    ):
        ridge = _ridge(rng, x, level, relief_y, cells, 5, 0.45)
        tops = np.abs(((x * 150 + 1.5 * _ridge(rng, x, 0, 1, 40, 2)) % 1) - 0.5) * 2
        size = 0.006 + 0.010 * np.clip(1 + _ridge(rng, x, 0, 1, 90, 2), 0, 2) / 2
        depth = grid_y - (ridge - size * (1 - tops))
        leaves = _fractal(rng, x, y, 110, 70, 3, 0.7)
        wood = np.float32(color) * np.clip(1 + 0.55 * leaves, 0.15, 3)[..., None]
        wood = wood + veil * (np.float32([0.48, 0.56, 0.65]) - wood)
        image = _over(image, _smooth(-soft, soft, depth), wood)
    return image


def _lake(rng, image, x, y):
    rows = np.arange(len(y))
    inside = (y > _HORIZON) & (y < _SHORE + 0.06)
    depth = np.clip(y - _HORIZON, 0, 1)
    mirrored = _HORIZON - depth * 1.9
    waves = _lattice(rng, x, y, 26, 400) * (0.004 + 0.10 * depth[:, None])
    source = np.clip((mirrored[:, None] + waves * 0.35) * len(y), 0, len(y) - 1).astype(int)
    reflection = np.minimum(image[source, np.arange(len(x))[None, :]], 6)
    fresnel = (0.78 - 1.6 * depth)[:, None, None]
    water = fresnel * reflection + np.float32([0.008, 0.030, 0.036])
    # Glitter below the sun.
    spark = _smooth(1.05, 1.6, _lattice(rng, x, y, 160, 500) * 2)
    path = np.exp(-(((x[None, :] - _SUN[0]) / (0.02 + 0.5 * depth[:, None])) ** 2))
    water = water + (spark * path * 1.8)[..., None] * np.float32([1.0, 0.93, 0.8])
    out = image.copy()
    out[rows[inside]] = water[inside]
    bank = _smooth(0.004, 0.0, np.abs(y - _HORIZON))[:, None] * np.ones_like(x)
    return _over(out, 0.75 * bank, [0.05, 0.055, 0.04])


def _meadow(rng, image, x, y):
    grid_y = y[:, None]
    soft = 1.5 / len(y)
    shore = _ridge(rng, x, _SHORE + 0.015, 0.008, 3, 6) - 0.05 * (x - 0.45) ** 2
    near = np.clip((grid_y - shore) / (1 - _SHORE), 0, 1)
    # Perspective: a row's distance goes as 1 / (y - horizon), and with it the size of what grows there.
    rows = 0.13 / np.maximum(y - _HORIZON, 0.05) / 1.3
    columns_near = _fractal(rng, x, y, 200, 34, 3, 0.75)
    columns_far = _fractal(rng, x, y, 300, 120, 2, 0.75)
    blades = columns_far + near * (columns_near - columns_far)
    patches = _fractal(rng, x, np.clip(rows, 0, 1), 5, 12, 4, 0.55)
    grass = np.float32([0.135, 0.190, 0.035]) + _smooth(-1.2, 1.4, patches)[..., None] * np.float32(
        [0.115, 0.085, 0.020]
    )
    grass = grass * np.clip(1 + 0.42 * blades, 0.12, 2.4)[..., None] * (1.05 - 0.30 * near)[..., None]
    pebbles = _fractal(rng, x, y, 170, 220, 2, 0.7)
    strand = np.float32([0.42, 0.36, 0.28]) * np.clip(1 + 0.35 * pebbles, 0.3, 2)[..., None]
    grass = _over(strand, _smooth(0.005, 0.022, grid_y - shore + 0.004 * patches), grass)
    image = _over(image, _smooth(-soft, soft, grid_y - shore), grass)
    image = _over(image, 0.5 * _smooth(0.006, 0.0, np.abs(grid_y - shore)), [0.06, 0.06, 0.05])
    colors = np.float32([[0.75, 0.05, 0.03], [0.85, 0.62, 0.03], [0.85, 0.85, 0.80], [0.30, 0.14, 0.55]])
    for _ in range(26):  # drifts of one kind
        place_x, place_y = rng.random(), _SHORE + 0.04 + 0.40 * rng.random()
        color, spread = colors[rng.integers(4)], 0.02 + 0.10 * (place_y - _SHORE)
        for _ in range(30):
            flower_x, flower_y = (
                place_x + spread * rng.standard_normal(),
                place_y + 0.4 * spread * rng.standard_normal(),
            )
            nearness = (flower_y - _SHORE) / (1 - _SHORE)
            if nearness > 0.1:
                radius = 0.001 + 0.0036 * nearness * (0.7 + 0.6 * rng.random())
                image = _disc(image, x, y, flower_x, flower_y, radius, color * (0.6 + 0.5 * rng.random()), squash=0.75)
    return image


def _window(x, y, left, right, top, bottom):
    """Slices of the rows and columns that meet a rectangle."""
    columns = slice(*np.searchsorted(x, [left, right]))
    rows = slice(*np.searchsorted(y, [top, bottom]))
    return rows, columns


def _disc(image, x, y, center_x, center_y, radius, color, squash=1.0, strength=1.0, blur=None):
    """Paints a disc (an ellipse ``squash`` times as high) of ``radius`` in heights; changes ``image``."""
    blur = 1.2 / len(y) if blur is None else blur
    reach = radius + blur
    rows, columns = _window(x, y, center_x - reach * 0.75, center_x + reach * 0.75, center_y - reach, center_y + reach)
    distance = np.hypot((x[None, columns] - center_x) * 4 / 3, (y[rows, None] - center_y) / squash)
    mask = strength * _smooth(radius + blur / 2, radius - blur / 2, distance)
    image[rows, columns] = _over(image[rows, columns], mask, color)
    return image


def _box(image, x, y, left, right, top, bottom, color, pattern=None):
    """Paints a rectangle, its edges one pixel soft, times ``pattern`` [W] if given; changes and returns ``image``."""
    soft_x, soft_y = 0.5 / len(x), 0.5 / len(y)
    rows, columns = _window(x, y, left - soft_x, right + soft_x, top - soft_y, bottom + soft_y)
    across = _smooth(left - soft_x, left + soft_x, x[columns]) * _smooth(right + soft_x, right - soft_x, x[columns])
    down = _smooth(top - soft_y, top + soft_y, y[rows]) * _smooth(bottom + soft_y, bottom - soft_y, y[rows])
    across = across if pattern is None else across * pattern[columns]
    image[rows, columns] = _over(image[rows, columns], down[:, None] * across[None, :], color)
    return image


def _chart(image, x, y):
    """A board on two legs: 24 patches, bars of rising frequency, and rows of marks like small print."""
    left, right, top, bottom = 0.555, 0.925, 0.565, 0.905
    image = _disc(image, x, y, 0.73, 0.955, 0.27, [0.02, 0.028, 0.010], squash=0.16, strength=0.75, blur=0.10)
    for leg in (0.60, 0.875):
        image = _box(image, x, y, leg, leg + 0.010, bottom, 0.965, [0.16, 0.095, 0.05])
    image = _box(image, x, y, left, right, top, bottom, [0.018, 0.018, 0.019])
    cell_x, cell_y, gap = 0.0575, 0.0600, 0.006
    for i in range(4):
        for j in range(6):
            x0, y0 = left + 0.015 + j * cell_x, top + 0.016 + i * cell_y
            image = _box(image, x, y, x0, x0 + cell_x - gap, y0, y0 + cell_y - gap * 4 / 3, _PATCHES[i, j])
    paper = (left + 0.015, right - 0.016, top + 0.262, bottom - 0.016)
    image = _box(image, x, y, *paper, [0.80, 0.79, 0.76])
    # A chirp: bars from wide to under two pixels at the default size.
    t = (x - paper[0]) / (paper[1] - paper[0])
    bars = _smooth(-0.25, 0.25, np.sin(2 * np.pi * (9 * t + 42 * t**2)))
    chirp = (paper[0] + 0.006, paper[1] - 0.006, paper[2] + 0.006, paper[2] + 0.024)
    image = _box(image, x, y, *chirp, [0.03, 0.03, 0.03], pattern=bars)
    marks = np.random.default_rng(7)  # the print does not change with the seed
    for line in (paper[2] + 0.037, paper[2] + 0.052):
        spot = paper[0] + 0.007
        while spot < paper[1] - 0.012:  # letters of a stem and a bar; words of two to eight
            for _ in range(marks.integers(2, 9)):
                rise = 0.009 if marks.random() < 0.35 else 0.0055
                image = _box(image, x, y, spot, spot + 0.0013, line - rise, line, [0.03, 0.03, 0.05])
                bar = line - marks.choice([0.0055, 0.003, 0.0012])
                image = _box(image, x, y, spot, spot + 0.0032, bar, bar + 0.0012, [0.03, 0.03, 0.05])
                spot += 0.0046
            spot += 0.004
    return image


def _balls(rng, image, x, y):
    """Four balls in the grass: smooth shading, soft shadows, clipped highlights."""
    sun = np.array([0.45, -0.72, 0.53])
    half = sun + np.array([0, 0, 1])  # between the light and the eye
    half = half / np.linalg.norm(half)
    balls = (
        (0.300, 0.800, 0.075, (0.72, 0.10, 0.035)),
        (0.410, 0.845, 0.060, (0.86, 0.55, 0.03)),
        (0.225, 0.885, 0.058, (0.035, 0.13, 0.52)),
        (0.335, 0.920, 0.046, (0.18, 0.18, 0.18)),
    )
    for center_x, center_y, radius, color in balls:
        shadow = (center_x - 0.5 * radius, center_y + 0.86 * radius)
        image = _disc(image, x, y, *shadow, radius * 1.25, [0.012, 0.018, 0.006], 0.34, 0.9, blur=radius * 0.8)
        rows, columns = _window(x, y, center_x - radius, center_x + radius, center_y - radius, center_y + radius)
        dx = (x[None, columns] - center_x) * 4 / 3 / radius
        dy = (y[rows, None] - center_y) / radius
        distance = np.hypot(dx, dy)
        dz = np.sqrt(np.clip(1 - distance**2, 0, 1))
        light = np.clip(dx * sun[0] + dy * sun[1] + dz * sun[2], 0, 1)
        shine = np.clip(dx * half[0] + dy * half[1] + dz * half[2], 0, 1) ** 90
        ambient = 0.16 - 0.10 * dy
        green = np.clip(dy, 0, 1)[..., None] * np.float32([0.020, 0.030, 0.006])
        shaded = (0.95 * light + ambient)[..., None] * np.float32(color) + green + 2.5 * shine[..., None]
        soft = 1.0 / (radius * len(y))
        mask = _smooth(1 + soft / 2, 1 - soft / 2, distance)
        image[rows, columns] = _over(image[rows, columns], mask, shaded)
    return image


def _tree(rng, image, x, y):
    """A trunk in shadow at the left, and its leaves along the upper edge."""
    grid_x, grid_y = np.meshgrid(x, y)
    wobble = _ridge(rng, y, 0, 0.006, 4, 3)[:, None]
    center = 0.055 + 0.03 * (1 - grid_y) ** 2 + wobble
    half_width = 0.030 + 0.035 * _smooth(0.80, 1.0, grid_y) + 0.010 * _smooth(0.3, 0.0, grid_y)
    across = (grid_x - center) / half_width
    bark = _fractal(rng, x, y, 90, 14, 5, 0.7)
    rim = 0.10 * _smooth(0.55, 1.0, across)
    tone = (0.013 + rim) * np.clip(1 + 0.65 * bark, 0.1, 3)
    trunk = tone[..., None] * np.float32([1.0, 0.72, 0.5])
    image = _over(image, _smooth(1.02, 0.98, np.abs(across)), trunk)
    leaves = _fractal(rng, x, y, 70, 56, 3, 0.9)
    boughs = _fractal(rng, x, y, 12, 10, 3, 0.6)
    reach = 0.30 - 0.90 * grid_x - 0.85 * grid_y
    mask = _smooth(-0.12, 0.12, 0.55 * leaves + 0.5 * boughs + 9 * reach) * _smooth(0.33, 0.27, grid_y)
    # Sun through the outer leaves, shade between the inner ones.
    lit = _smooth(-0.3, 1.8, 0.8 * leaves + _fractal(rng, x, y, 150, 110, 2, 0.8)) * _smooth(0.34, 0.02, reach)
    leaf = np.float32([0.010, 0.019, 0.005]) + lit[..., None] * np.float32([0.17, 0.25, 0.035])
    return _over(image, mask, leaf)


def simulate_mosaic(
    scene,
    *,
    pattern="RGGB",
    profile=CAMERA,
    cct=5500.0,
    tint=0.0,
    exposure=0.8,
    noise=(2e-4, 1e-6),
    black=512,
    white=16383,
    seed=0,
):
    """What a camera records of ``scene``: (mosaic uint16 [H, W], camera RGB [H, W, 3], neutral [3]).

    Linear sRGB goes to camera RGB by the inverse of the profile's matrix at the light of ``cct`` and ``tint``, so that
    developing with that light gives the scene back; G of a white surface becomes ``exposure``. Then the filter array,
    shot and read noise of variance ``a x + b`` (``noise``), clipping at 1, black level and rounding. The camera RGB
    is that before noise and clipping.
    """
    neutral = cct_tint_to_neutral(cct, tint, profile)
    to_camera = np.diag(neutral) @ np.linalg.inv(ccm_at(profile, neutral))
    camera = np.maximum(scene @ to_camera.T.astype(np.float32), 0) * np.float32(exposure)
    mosaic = np.empty(camera.shape[:2])
    for k, letter in enumerate(pattern):
        cell = (slice(k // 2, None, 2), slice(k % 2, None, 2))
        mosaic[cell] = camera[..., "RGB".index(letter)][cell]
    rng = np.random.default_rng([seed, 1])
    a, b = noise
    mosaic = rng.poisson(np.minimum(mosaic, 4) / a) * a if a > 0 else np.minimum(mosaic, 4)
    mosaic = mosaic + np.sqrt(b) * rng.standard_normal(mosaic.shape)
    stored = np.rint(black + np.minimum(mosaic, 1) * (white - black))
    return np.clip(stored, 0, white).astype(np.uint16), camera, neutral


def write_synthetic_dng(path, *, size=(768, 1024), seed=0, pattern="RGGB", noise=(2e-4, 1e-6), orientation=1):
    """Writes :func:`synthetic_scene` as a 14-bit raw photo, a DNG file; returns ``path``.

    Any of the four Bayer ``pattern``; the same arguments give the same file.
    """
    if sorted(pattern) != ["B", "G", "G", "R"]:
        raise ValueError(f"pattern: expected four letters R, G, G and B, got {pattern!r}")
    black, white = 512, 16383
    scene = synthetic_scene(size, seed)
    mosaic, _, neutral = simulate_mosaic(scene, pattern=pattern, noise=noise, black=black, white=white, seed=seed)
    first, second = CAMERA.calibrations
    return write_dng(
        path,
        mosaic,
        pattern=pattern,
        black=black,
        white=white,
        color_matrix1=first.color_matrix,
        calibration_illuminant1=17,
        color_matrix2=second.color_matrix,
        calibration_illuminant2=21,
        as_shot_neutral=neutral,
        noise_profile=noise,
        orientation=orientation,
        model="synthetic camera",
        iso=400,
        exposure_time=1 / 500,
        f_number=8,
        focal_length=28,
        datetime="2025:06:21 17:30:00",
    )
