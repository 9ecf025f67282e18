"""Automatic white balance, measured: angular error on raw photos made from finished ones; and the sliders' conventions.

    python3 dev.py run benchmarks/white_balance.py              # both tables, from the photos of val
    python3 dev.py run benchmarks/white_balance.py --write      # and into docs/white_balance.md
    python3 dev.py run benchmarks/white_balance.py --fit --draws 8      # constants of modisp_jax/awb.py, from train

Photos become raw photos by ``modisp_jax.unprocess``, with cameras and lights drawn at random. The finished photo is
taken to be balanced, which it is not exactly, so no estimator can reach 0. Pixels that are clipped in the photo are
clipped in the raw too: they would otherwise give the light away, being exactly as neutral as a file can be.
"""

import dataclasses
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from modisp_jax import awb
from modisp_jax.io import dng_color
from modisp_jax.io import white_balance as sliders
from modisp_jax.io.images import read_image
from modisp_jax.io.load import load_metadata
from modisp_jax.noise import read_table
from modisp_jax.sheet import scale_to_height
from modisp_jax.unprocess import UnprocessConfig, draw_and_take, draw_camera, read_cameras

PAGE = Path(__file__).parent.parent / "docs" / "white_balance.md"
SIZE = (512, 768)
CLIPPED = 250 / 255
MEASURES = ("mean", "median", "trimean", "worst25")
WIDER = 0.01
"""Added to the variances that the photos of train have: others differ more. Chosen by cross-validation on train."""
RANGES = {
    "narrow": UnprocessConfig(),
    "wide": UnprocessConfig(cct=(2000.0, 12000.0), tint=(-25.0, 25.0)),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    data: Path = Path(__file__).resolve().parents[2] / "shared" / "data"
    """Folder with photos/train, photos/val and tables."""
    draws: int = 16
    """Raw photos made of each photo."""
    fit: bool = False
    """Print the constants that the photos of train give, instead of measuring."""
    write: bool = False
    """Put both tables into docs/white_balance.md."""
    name: str = "white_balance"
    """Results go to results/NAME.json."""


def main(options):
    tables = options.data / "tables"
    cameras = read_cameras(tables / "color_matrices_d65.tsv", tables / "noise_profiles.tsv")
    if options.fit:
        return fit(options, cameras)
    about, results = common.machine(), {"draws": options.draws, "estimators": {}}
    for name, config in RANGES.items():
        errors = measure(options, cameras, config)
        results["estimators"][name] = {key: summary(np.array(value)) for key, value in errors.items()}
        print_estimators(name, config, results["estimators"][name])
    results["conventions"] = conventions(options.data)
    for row, values in results["conventions"].items():
        print(row, values)
    print(f"written to {common.write_results(options.name, results, about)}")
    if options.write:
        write_page(results)


def raw_photos(folder, cameras, config, draws, seed):
    """Yields (raw image, camera's matrix, light) for every draw of every photo."""

    @jax.jit
    def take(key, srgb):
        shot, raw, _ = draw_and_take(key, srgb, cameras, config)
        clipped = jnp.max(srgb, axis=-1, keepdims=True) >= CLIPPED
        camera = draw_camera(jax.random.split(key)[0], cameras)
        return jnp.where(clipped, 1.0, raw.image), camera, shot.illuminant

    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise ValueError(f"{folder}: expected photos, found none")
    for number, path in enumerate(paths):
        srgb = jnp.asarray(fill(read_image(path)))
        for draw in range(draws):
            yield take(jax.random.key(seed + 1000 * number + draw), srgb)


def fill(picture):
    """A picture lying down, scaled by areas until it covers SIZE, and its middle."""
    picture = np.swapaxes(picture, 0, 1) if picture.shape[0] > picture.shape[1] else picture
    h, w = picture.shape[:2]
    picture = scale_to_height(picture, max(SIZE[0], int(np.ceil(SIZE[1] * h / w))))
    top, left = (picture.shape[0] - SIZE[0]) // 2, max(picture.shape[1] - SIZE[1], 0) // 2
    return picture[top : top + SIZE[0], left : left + SIZE[1]]


def estimators():
    """Name to a function of (image, camera's matrix)."""
    return {
        "posterior": lambda image, camera: awb.estimate_light(image, camera).illuminant,
        "gray edge": lambda image, camera: awb.gray_edge(image),
        "shades of gray": lambda image, camera: awb.shades_of_gray(image),
        "white patch": lambda image, camera: awb.white_patch(image),
        "gray world": lambda image, camera: awb.gray_world(image),
        "prior alone": lambda image, camera: awb.estimate_light(jnp.minimum(image, 0.0), camera).illuminant,
    }


def measure(options, cameras, config):
    """Angular errors in degrees over the photos of val, by estimator."""
    functions = estimators()
    run = jax.jit(lambda image, camera: {name: function(image, camera) for name, function in functions.items()})
    errors = {name: [] for name in functions}
    photos = options.data / "photos" / "val"
    for image, camera, light in raw_photos(photos, cameras, config, options.draws, 7_000_000):
        for name, found in run(image, camera).items():
            errors[name].append(angle(found, light))
    return errors


def angle(a, b):
    """Angle between two colours in degrees."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def summary(errors):
    """Mean, median, trimean and mean of the worst quarter."""
    low, median, high = np.percentile(errors, [25, 50, 75])
    worst = np.sort(errors)[-max(1, len(errors) // 4) :]
    values = (errors.mean(), median, (low + 2 * median + high) / 4, worst.mean())
    return {name: round(float(value), 2) for name, value in zip(MEASURES, values, strict=True)}


def print_estimators(name, config, rows):
    print(f"{name}: {config.cct[0]:g} to {config.cct[1]:g} K, tint {config.tint[0]:g} to {config.tint[1]:g}")
    for estimator, row in rows.items():
        print(f"{estimator:15}", *(f"{value:6.2f}" for value in row.values()))


def write_page(results):
    """Replaces the tables of docs/white_balance.md."""
    heads = [f"{name}, {measure}" for name in results["estimators"] for measure in MEASURES]
    rows = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for estimator in next(iter(results["estimators"].values())):
        numbers = [table[estimator][measure] for table in results["estimators"].values() for measure in MEASURES]
        rows.append(f"| {estimator} | {' | '.join(f'{number:.2f}' for number in numbers)} |")
    common.write_table(PAGE, "estimators", rows)
    heads = list(next(iter(results["conventions"].values())))
    rows = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for camera, row in results["conventions"].items():
        rows.append(f"| {camera} | {' | '.join(str(row[head]) for head in heads)} |")
    common.write_table(PAGE, "conventions", rows)


def fit(options, cameras):
    """Prints bias and covariance of the statistics around the light, from the photos of train under wide lights."""
    collect = jax.jit(lambda image, camera: awb.light_statistics(image, camera)[0])
    residuals = []
    photos = options.data / "photos" / "train"
    for image, camera, light in raw_photos(photos, cameras, RANGES["wide"], options.draws, 0):
        generic = np.asarray(awb.GENERIC_CAMERA @ np.linalg.solve(np.asarray(camera), np.asarray(light)), np.float64)
        chroma = np.log(generic[[0, 2]] / generic[1])
        residuals.append(np.asarray(collect(image, camera)) - np.tile(chroma, 4))
    residuals = np.array(residuals)
    print(f"{len(residuals)} raw photos")
    print("BIAS", np.round(residuals.mean(axis=0), 3).tolist())
    print("COVARIANCE", np.round(np.cov(residuals.T) + WIDER * np.eye(8), 4).tolist())


def conventions(data):
    """How far our sliders' round trip is off, and how far they are from the published convention, by camera."""
    profiles = single_profiles(data / "tables" / "color_matrices_d65.tsv")
    own = {"33 cameras, one matrix": list(profiles.values())}
    for path in sorted((data / "raw").glob("*.DNG")):
        own[path.stem] = [load_metadata(path).color]
    return {name: compare(profiles) for name, profiles in own.items()}


def single_profiles(table):
    """Camera to a profile with its one matrix, for D65."""
    rows = read_table(table, ["camera"])
    matrices = {row["camera"]: [float(row[f"m{i}{j}"]) for i in range(3) for j in range(3)] for row in rows}
    return {
        name: dng_color.CameraProfile((dng_color.Calibration(6504.0, np.reshape(matrix, (3, 3))),))
        for name, matrix in matrices.items()
    }


def compare(profiles):
    """Largest errors over cameras: our round trip over the sliders' whole range; ours against published, tint <= 10."""
    errors, lost = [], []
    for profile in profiles:
        for cct in 1e6 / np.linspace(100.0, 555.5, 9):
            for tint in (-100.0, -50.0, -10.0, 0.0, 10.0, 50.0, 100.0):
                back = sliders.light_to_cct_tint(sliders.cct_tint_to_light(cct, tint, profile), profile)
                errors.append({"round trip, K": back[0] - cct, "round trip, tint": back[1] - tint})
        for cct in 1e6 / np.linspace(*between(profile), 9):
            for tint in (-10.0, 0.0, 10.0):
                neutral = dng_color.cct_tint_to_neutral(cct, tint, profile)
                back = sliders.light_to_cct_tint(neutral, profile)
                degrees = angle(sliders.cct_tint_to_light(cct, tint, profile), neutral)
                apart = (degrees, 1e6 / back[0] - 1e6 / cct, back[1] - tint)
                errors.append(dict(zip(("apart, degrees", "apart, mired", "apart, tint"), apart, strict=True)))
                lost.append(not published_returns(neutral, cct, tint, profile))
    worst = {name: max(abs(row.get(name, 0.0)) for row in errors) for name in {**errors[0], **errors[-1]}}
    rounded = {name: float(f"{value:.2g}") for name, value in worst.items()}
    return {**rounded, "published does not return": f"{sum(lost)} of {len(lost)}"}


def between(profile):
    """Range in mired between the calibrations; 2600 K to 10000 K where there is only one."""
    ccts = [c.cct for c in profile.calibrations] if len(profile.calibrations) > 1 else (2600.0, 10000.0)
    return 1e6 / max(ccts), 1e6 / min(ccts)


def published_returns(neutral, cct, tint, profile):
    """Whether the published way back finds a light to 5 mired and 5 units of tint."""
    try:
        back = dng_color.neutral_to_cct_tint(neutral, profile)
    except ValueError:
        return False
    return abs(1e6 / back[0] - 1e6 / cct) < 5 and abs(back[1] - tint) < 5


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
