"""Finished photos made raw again, measured: do they come back, and do edits act as on the raw photo that was there?

    python3 dev.py run benchmarks/linearize.py            # two tables
    python3 dev.py run benchmarks/linearize.py --write    # and into docs/photos.md and results/linearize.json

*Round trip*: the photos of val, linearised and rendered again, PSNR in dB against the photo; all without denoising.

*Edits*: raw photos that are known (two camera raws made small, and photos of val unprocessed with cameras and lights
drawn at random, without noise) are rendered by the style "natural" and rounded to 8 bits. That photo is linearised;
then the same change is made to the raw that is known and to the one that was found, and both are rendered. PSNR in dB
of the second against the first. "none" is no change, so it is the round trip again.

"as it is" changes the photo itself: linear light by the sRGB curve, times the factor, and back, clipped.

ParamISP is steered by what the photos' files say of the exposure; those of the unprocessed photos say nothing.
"""

import dataclasses
from pathlib import Path

import common
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import modisp_jax as mj
from modisp_jax.color import srgb_decode, srgb_encode
from modisp_jax.io.images import quantize
from modisp_jax.io.resize import resize_area
from modisp_jax.io.white_balance import virtual_profile
from modisp_jax.linearization import LinearizeConfig
from modisp_jax.metrics import psnr
from modisp_jax.paramisp_file import load_paramisp
from modisp_jax.unprocess import draw_and_take, read_cameras

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "photos.md"
PLAIN = mj.Edits(denoise=0)
MIRED = 40.0
"""How far the light is moved, in 1e6 / kelvin."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    shared: Path = HERE.parents[1] / "shared"
    """Folder with data/photos/val, data/raw, data/tables and reference/weights."""
    size: tuple[int, int] = (288, 384)
    """Height and width to which pictures, lying down, are brought: scaled by areas, and their middle."""
    photos: int = 12
    """How many photos of val."""
    paramisp: str = "paramisp"
    """ParamISP's networks: those that ship, or a file."""
    write: bool = False
    """Write results/linearize.json and the tables of docs/photos.md."""


def main(options):
    """Measures, prints, and writes where asked."""
    about = common.machine()
    sets = renderers(options.shared / "reference" / "weights", options.paramisp)
    read = [mj.read_photo(path) for path in val_photos(options)]
    photos = [(fill(photo.srgb, options.size), photo.metadata) for photo in read]
    results = {"size": options.size, "photos": len(photos), "paramisp": options.paramisp}
    results["round trip"] = round_trips(photos, sets)
    print_rows("round trip", results["round trip"])
    results["edits"] = edits(list(known_raws(photos, options)), sets)
    for kind, rows in results["edits"].items():
        print_rows(kind, rows)
    if options.write:
        print(f"written to {common.write_results('linearize', results, about)}")
        write_page(results)


def val_photos(options):
    """Paths of the photos of val."""
    found = sorted((options.shared / "data" / "photos" / "val").glob("*.jpg"))[: options.photos]
    if not found:
        raise ValueError(f"{options.shared}: expected data/photos/val with photos, found none")
    return found


def renderers(weights, paramisp):
    """Parameter sets that render, by name; that of the published linearisation under "network", and, under "paramisp",
    ParamISP's with its configuration."""
    published = mj.import_torch(
        photofinishing=weights / "photofinishing" / "photofinishing_s24-style-0.pth",
        enhancement=weights / "enhancement" / "enhancement_s24-style-0.pth",
        cie_xyz=weights / "io" / "cie_xyz_net.pth",
    )
    ours = {"natural": mj.load_params(), "neutral": mj.load_params("neutral")}
    networks = {"network": {"io": published.pop("io")}, "paramisp": load_paramisp(paramisp, ("inverse_isp",))}
    return ours | networks | {"published": published}


def fill(picture, size):
    """A picture lying down, scaled by areas until it covers ``size``, and its middle."""
    picture = np.swapaxes(picture, 0, 1) if picture.shape[0] > picture.shape[1] else picture
    h, w = picture.shape[:2]
    scale = max(size[0] / h, size[1] / w)
    picture = resize_area(picture, (max(size[0], round(h * scale)), max(size[1], round(w * scale))))
    top, left = (picture.shape[0] - size[0]) // 2, (picture.shape[1] - size[1]) // 2
    return np.clip(picture[top : top + size[0], left : left + size[1]], 0, 1)


ALL = ("natural", "neutral", "published")
"""What renders."""


def methods(sets, renderer):
    """Name to a function from a photo and its metadata to a raw, for what is rendered by ``renderer``."""

    def by(**options):
        return lambda srgb, metadata: mj.linearize(srgb, metadata=metadata, **options)

    def inverse(config, **options):
        return by(params=sets[renderer], config=config, **options)

    as_srgb = virtual_profile(np.ones(3), np.eye(3))
    networks, reading = sets["paramisp"]
    return {
        "sRGB curve": by(method="curve", config=LinearizeConfig(exposure=0, contrast=0)),
        "curve": by(method="curve"),
        "published network": by(method="cie_xyz", params=sets["network"]),
        "paramisp": by(method="paramisp", params=networks, config=LinearizeConfig(paramisp=reading)),
        "inverse, 2 renderings": inverse(LinearizeConfig(iterations=2)),
        "inverse, 4 renderings": inverse(LinearizeConfig(iterations=4)),
        "inverse": inverse(LinearizeConfig()),
        "inverse, 12 renderings": inverse(LinearizeConfig(iterations=12)),
        "inverse, enhancement not undone": inverse(LinearizeConfig(enhance=False)),
        "inverse, sRGB as the camera": inverse(LinearizeConfig(), profile=as_srgb),
    }


def round_trips(photos, sets):
    """{method: {renderer, what: dB}}, means and minima over the photos, (sRGB, metadata) each."""
    rows = {}
    everywhere = ("sRGB curve", "curve", "published network", "paramisp", "inverse")
    for renderer in ALL:
        for name, method in methods(sets, renderer).items():
            if renderer != "natural" and name not in everywhere:
                continue
            found = [float(psnr(mj.render(sets[renderer], method(*one), edits=PLAIN), one[0])) for one in photos]
            rows.setdefault(name, {}).update(
                {f"{renderer}, mean": round(float(np.mean(found)), 1), f"{renderer}, least": round(min(found), 1)}
            )
    inverse = methods(sets, "natural")["inverse"]
    denoised = [float(psnr(mj.render(sets["natural"], inverse(*one)), one[0])) for one in photos]
    rows["inverse, rendered with denoising"] = {
        "natural, mean": round(float(np.mean(denoised)), 1),
        "natural, least": round(min(denoised), 1),
    }
    return rows


def known_raws(photos, options):
    """Yields (kind, raw)."""
    for path in sorted((options.shared / "data" / "raw").glob("*.DNG")):
        raw = mj.read_raw(path)
        yield "camera raws", dataclasses.replace(raw, image=jnp.asarray(fill(np.asarray(raw.image), options.size)))
    tables = options.shared / "data" / "tables"
    cameras = read_cameras(tables / "color_matrices_d65.tsv", tables / "noise_profiles.tsv")
    for number, (srgb, _) in enumerate(photos):
        _, raw, clean = draw_and_take(jax.random.key(5_000_000 + number), jnp.asarray(srgb), cameras)
        yield "unprocessed photos", dataclasses.replace(raw, image=clean, saturation=jnp.ones(()))


CHANGES = {
    "none": {},
    "-1 EV": {"exposure": -1.0},
    "+1 EV": {"exposure": 1.0},
    "warmer": {"mired": MIRED},
    "cooler": {"mired": -MIRED},
    "style vivid": {"style": "vivid"},
}


def rendered(sets, raw, exposure=0.0, mired=0.0, style=None):
    """The raw rendered with a change."""
    if mired:
        cct, tint = mj.white_balance_of(raw)
        raw = mj.set_white_balance(raw, cct=float(np.clip(1e6 / (1e6 / cct - mired), 1800, 10000)), tint=tint)
    return mj.render(sets[style or "natural"], raw, edits=dataclasses.replace(PLAIN, exposure=exposure))


def edits(known, sets):
    """{kind: {method: {change: mean dB}}}."""
    sets = sets | {"vivid": mj.load_params(style="vivid")}
    chosen = ("sRGB curve", "curve", "published network", "paramisp", "inverse", "inverse, sRGB as the camera")
    functions = {name: method for name, method in methods(sets, "natural").items() if name in chosen}
    found = {}
    for kind, raw in known:
        truth = {change: rendered(sets, raw, **options) for change, options in CHANGES.items()}
        photo = quantize(truth["none"]).astype(np.float32) / np.float32(255)
        rows = found.setdefault(kind, {})
        for change in ("none", "-1 EV", "+1 EV"):
            direct = srgb_encode(srgb_decode(photo) * 2 ** CHANGES[change].get("exposure", 0.0))
            rows.setdefault("as it is", {}).setdefault(change, []).append(float(psnr(direct, truth[change])))
        for name, method in functions.items():
            back = method(photo, raw.metadata)
            for change, options in CHANGES.items():
                score = float(psnr(rendered(sets, back, **options), truth[change]))
                rows.setdefault(name, {}).setdefault(change, []).append(score)
    mean = lambda row: {change: round(float(np.mean(scores)), 1) for change, scores in row.items()}  # noqa: E731
    return {kind: {name: mean(row) for name, row in rows.items()} for kind, rows in found.items()}


def print_rows(title, rows):
    print(f"\n{title}")
    for name, row in rows.items():
        print(f"{name:34}", *(f"{column} {value:.1f};" for column, value in row.items()))


def write_page(results):
    """Replaces the tables of docs/photos.md."""
    common.write_table(PAGE, "round", markdown(results["round trip"]))
    for kind, rows in results["edits"].items():
        common.write_table(PAGE, kind.replace(" ", "-"), markdown(rows))


def markdown(rows):
    """A table whose columns are those of the longest row."""
    heads = list(max(rows.values(), key=len))
    lines = [f"| | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(f'{row[head]:.1f}' if head in row else '' for head in heads)} |")
    return lines


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
