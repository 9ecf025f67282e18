"""Makes split folders to train on: ``python -m train.prepare raw-folder | zurich | incomplete ...``.

All three write the S24 layout that :class:`train.data.SplitFolder` reads. A sample that fails is reported in one line
and the rest goes on. A sample that is complete is skipped: the same command takes up a run that was stopped. Every
file appears under its name when it is whole, a sample's raw last, so that the folder can be trained on at any time.
Exit codes: 0 done, 2 bad input or usage, 130 interrupted.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tyro.conf import Positional, arg

from modisp_jax.io import alignment
from modisp_jax.io.images import read_image, replacing, write_image
from modisp_jax.io.resize import resize_area
from modisp_jax.io.s24 import read_s24
from train import pseudo
from train.data import CLEAN, FACTS, RAW, SRGB, SUFFIXES, pictures_in, target_folder
from train.transforms import shrunk_size

NOT_RAW = {".json", ".xmp", ".txt", ".md", ".csv", ".zip", ".jpg", ".jpeg", ".tif", ".tiff", ".db", ".html"}
"""Extensions that a folder of raw files may hold besides; everything else is taken for a raw file."""
ZURICH_BLACK, ZURICH_WHITE, ZURICH_PATTERN = 63, 1020, "RGGB"


def raw_folder(
    raws: Positional[Path],
    pictures: Positional[Path],
    output: Positional[Path],
    /,
    *,
    size: Annotated[int | None, arg(metavar="PIXELS")] = None,
    style: Annotated[str | None, arg(metavar="NAME")] = None,
    denoiser: Annotated[str | None, arg(metavar="NAME|FILE")] = None,
    demosaic: Literal["libraw", "malvar"] = "libraw",
    check: bool = True,
) -> int:
    """Raw files and finished pictures of the same names, to a split folder.

    A picture must show its raw photo pixel for pixel: uncropped or cropped as the DNG says, and not warped by a lens
    correction. It may be turned upright; it is turned back to lie on the raw.

    Args:
        raws: Folder of raw files that LibRaw reads, or of raw PNGs with JSON.
        pictures: Folder of finished sRGB pictures, JPEG, PNG or TIFF, NAME as the raw's.
        output: Split folder to write or to go on with.
        size: Shrink both to this many pixels on the long side; the picture may then have another size than its raw.
        style: Write the pictures into srgb_images_style_NAME, not srgb_images.
        denoiser: Parameter set whose denoiser makes denoised_raw_images; without one there are none.
        demosaic: Demosaicing by LibRaw, or by Malvar, He and Cutler in JAX (Bayer only).
        check: Refuse a picture that does not look like its raw photo, or looks mirrored or upside down.
    """
    if size is not None and size < 16:
        raise ValueError(f"--size: expected at least 16 pixels, got {size}")
    found = pictures_in(pictures, (*SUFFIXES, ".tif", ".tiff"))
    sources = _raws_in(raws)
    denoise = None if denoiser is None else _denoiser(denoiser)
    targets = Path(output) / (SRGB if style is None else f"{SRGB}_style_{style}")
    _settings(output, {"command": "raw-folder", "size": size, "denoiser": denoiser, "demosaic": demosaic})
    folders = [targets] + ([] if denoise is None else [output / CLEAN])

    def prepare(name):
        if name not in found:
            raise ValueError(f"{sources[name]}: expected a finished picture {pictures / name}.*, found none")
        from modisp_jax.raw import read_raw

        raw = read_raw(sources[name], demosaic=demosaic)
        image, metadata = np.asarray(raw.image), raw.metadata
        picture, turned = alignment.read_turned(found[name], metadata.orientation)
        box = alignment.crop_box(image.shape[:2], picture.shape[:2], metadata.default_crop, size is not None)
        if box is None:
            got, want = (f"{s[1]} x {s[0]}" for s in (picture.shape, image.shape))
            raise ValueError(f"{found[name]}: expected {want} pixels as the raw photo has, got {got}")
        clean = None if denoise is None else denoise(image)[box]
        image = image[box]
        if size is not None:
            shape = shrunk_size(image.shape[:2], size)
            turned = turned or picture.shape[:2] != shape
            image, picture = resize_area(image, shape), resize_area(picture, shape)
            clean = clean if clean is None else resize_area(clean, shape)
        if check:
            alignment.check_same_scene(found[name], image, picture, "; --no-check")
        source = found[name] if not turned and found[name].suffix.lower() in SUFFIXES else None
        facts = _facts(raw.illuminant, raw.ccm, metadata)
        write_sample(output, targets, name, image, facts, picture=picture, source=source, clean=clean)

    return _run(list(sources), prepare, lambda name: is_complete(output, name, folders))


def zurich(split: Positional[Path], output: Positional[Path], /, *, target: str = "canon") -> int:
    """The Zurich set of raw crops and camera pictures, to a split folder.

    Reads huawei_raw/N.png (16 bits, a mosaic RGGB, black 63, white 1020) and canon/N.jpg, demosaics (Malvar, He and
    Cutler), and estimates what the set lacks as "incomplete" does.

    Args:
        split: Folder with huawei_raw and canon, such as zurich/train.
        output: Split folder to write or to go on with.
        target: Folder of the finished pictures in the split.
    """
    sources, found = pictures_in(split / "huawei_raw", (".png",)), pictures_in(split / target)
    _settings(output, {"command": "zurich"})

    def prepare(name):
        from modisp_jax.ops.demosaic import demosaic_malvar

        if name not in found:
            raise ValueError(f"{sources[name]}: expected its picture {split / target / name}.jpg, found none")
        mosaic = np.rint(read_image(sources[name])[..., 0] * 65535)
        if mosaic.max() > 1023:
            raise ValueError(f"{sources[name]}: expected 16 bits with values up to 1023, got {mosaic.max():.0f}")
        mosaic = np.clip((mosaic - ZURICH_BLACK) / (ZURICH_WHITE - ZURICH_BLACK), 0, 1).astype(np.float32)
        raw = np.asarray(demosaic_malvar(mosaic, pattern=ZURICH_PATTERN))
        picture = read_image(found[name])
        facts, clean = complete(raw, picture, {}, name=found[name])
        facts["additional_metadata"] = {"make": "HUAWEI", "model": "P20"}
        write_sample(output, output / SRGB, name, raw, facts, source=found[name], clean=clean)

    return _run(list(sources), prepare, lambda name: is_complete(output, name, [output / SRGB, output / CLEAN]))


def incomplete(
    split: Positional[Path], /, *, style: Annotated[str | None, arg(metavar="NAME")] = None, clean: bool = True
) -> int:
    """Fills in what a split folder lacks, in place; what is there stays.

    Pseudo-clean raw: a polynomial map from the finished picture. Illuminant: gray world. Colour matrix: constrained
    least squares. Folders raw_images and srgb_images must be there.

    Args:
        split: Split folder.
        style: Which folder of finished pictures to estimate from, where there are several.
        clean: Also fill in denoised_raw_images.
    """
    targets = target_folder(split, style)
    sources, found = pictures_in(split / RAW, (".png",)), pictures_in(targets)

    def done(name):
        return {"cam_illum", "ccm"} <= _read_facts(split, name).keys() and (
            not clean or (split / CLEAN / f"{name}.png").is_file()
        )

    def prepare(name):
        if name not in found:
            raise ValueError(f"{sources[name]}: expected a finished picture {targets / name}.*, found none")
        raw, known = read_image(sources[name]), _read_facts(split, name)
        facts, pseudo_clean = complete(raw, read_image(found[name]), known, name=found[name])
        if clean and not (split / CLEAN / f"{name}.png").is_file():
            _write_png(split / CLEAN / f"{name}.png", pseudo_clean)
        if facts != known:
            _write_json(split / FACTS / f"{name}.json", facts)
        read_s24(sources[name], split / FACTS / f"{name}.json")  # what was there may be wrong: say so now

    return _run(list(sources), prepare, done)


def complete(raw, picture, facts, *, name="picture"):
    """Estimates what a sample lacks (paper section B.2).

    The matrix is fitted from the raw, white-balanced and scaled to the picture's mean, since its rows sum to 1 and the
    exposure is none of its business, to the picture de-gammaed by 2.2; saturated pixels are left out, and both are
    averaged over 4 x 4 pixels against noise.

    Args:
      raw, picture: [H, W, 3] in [0, 1].
      facts: what the sample's JSON has already, a dict; kept.

    Returns:
      Facts with ``cam_illum``, ``ccm`` and ``orientation``, and the pseudo-clean raw [H, W, 3].
    """
    if raw.shape != picture.shape:
        raise ValueError(f"{name}: expected pictures of one size, got {raw.shape} and {picture.shape}")
    try:
        clean = pseudo.apply_polynomial_map(pseudo.fit_polynomial_map(picture, raw), picture)
        illuminant = np.asarray(facts["cam_illum"] if "cam_illum" in facts else pseudo.gray_world(raw), np.float64)
        ccm = facts["ccm"] if "ccm" in facts else _fit_ccm(raw, picture, illuminant.reshape(3)).tolist()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return {"orientation": 1, **facts, "cam_illum": illuminant.reshape(3).tolist(), "ccm": ccm}, clean


def _fit_ccm(raw, picture, illuminant):
    kept = ((raw < pseudo.SATURATED) & (picture < pseudo.SATURATED)).all(axis=-1, keepdims=True)
    h, w = (max(1, n // 4) for n in raw.shape[:2])
    weight = resize_area(kept.astype(np.float32), (h, w))
    balanced, linear = (
        resize_area(np.where(kept, x, 0).astype(np.float32), (h, w))[weight[..., 0] > 0.5]
        for x in (raw / illuminant * illuminant[1], picture**pseudo.GAMMA)
    )
    if not len(balanced):
        raise ValueError("expected pixels that are not saturated, got none")
    return pseudo.fit_ccm(balanced * (linear.mean() / max(balanced.mean(), 1e-8)), linear)


def write_sample(folder, targets, name, raw, facts, *, picture=None, source=None, clean=None):
    """Writes a sample of a split folder: facts, finished picture, clean raw and last the raw. What is there stays.

    The finished picture is a copy of the file ``source``, or else ``picture``, [H, W, 3] in [0, 1], as an 8-bit PNG.
    """
    _write_json(folder / FACTS / f"{name}.json", facts)
    if not _has_picture(targets, name):
        targets.mkdir(parents=True, exist_ok=True)
        if source is None:
            write_image(targets / f"{name}.png", picture, bits=8)
        else:
            with replacing(targets / f"{name}{source.suffix.lower()}") as temporary:
                shutil.copyfile(source, temporary)
    if clean is not None:
        _write_png(folder / CLEAN / f"{name}.png", clean)
    _write_png(folder / RAW / f"{name}.png", raw)


def is_complete(folder, name, pictures=()):
    """Whether a sample of a split folder has its raw, its JSON, and a picture in each of the folders ``pictures``."""
    places = [folder / RAW / f"{name}.png", folder / FACTS / f"{name}.json"]
    return all(place.is_file() for place in places) and all(_has_picture(pics, name) for pics in pictures)


def _has_picture(folder, name):
    return any((folder / f"{name}{suffix}").is_file() for suffix in SUFFIXES)


def _write_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.asarray(image, np.float32), bits=16)


def _write_json(path, facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _read_facts(folder, name):
    path = folder / FACTS / f"{name}.json"
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got: {error}") from None
    if not isinstance(facts, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(facts).__name__}")
    return facts


def _facts(illuminant, ccm, metadata):
    """The JSON of a sample whose camera is known; matrices under the S24's names: 1 is D65, 2 is illuminant A."""
    more = {"make": metadata.make, "model": metadata.model, "iso": metadata.iso}
    more["exposure_time"] = metadata.exposure_time
    calibrations = metadata.color.calibrations
    places = [{6504: 1, 2856: 2}.get(round(calibration.cct)) for calibration in calibrations]
    if None not in places:  # half a profile would be taken for the whole
        for place, calibration in zip(places, calibrations, strict=True):
            more[f"color_matrix{place}"] = calibration.color_matrix.tolist()
            if calibration.forward_matrix is not None:
                more[f"forward_matrix{place}"] = calibration.forward_matrix.tolist()
    if metadata.color.noise_profile is not None:
        more["noise_profile"] = np.asarray(metadata.color.noise_profile).tolist()
    return {
        "cam_illum": np.asarray(illuminant, np.float64).tolist(),
        "ccm": np.asarray(ccm, np.float64).tolist(),
        "orientation": metadata.orientation,
        "additional_metadata": {key: value for key, value in more.items() if value is not None},
    }


def _raws_in(folder):
    suffixes = {p.suffix.lower() for p in folder.iterdir()} - NOT_RAW if folder.is_dir() else set()
    found = pictures_in(folder, suffixes - {""}) if suffixes else {}
    if not found:
        raise ValueError(f"{folder}: expected raw files, found none")
    return found


def _denoiser(source):
    """A function from raw [H, W, 3] to its denoised self, by a parameter set's denoiser; compiled for each size."""
    import jax

    from modisp_jax.checkpoints import load_params
    from modisp_jax.params import config_of
    from modisp_jax.stages import restore

    params = load_params(source)
    if "denoise" not in params:
        raise ValueError(f"--denoiser {source}: expected a set with a denoiser, got one without")
    config = config_of(params).denoise
    run = jax.jit(lambda image: restore.denoise(params["denoise"], image, config))
    return lambda image: np.clip(np.asarray(run(image)), 0, 1)


def _settings(output, settings):
    """Keeps the settings of a folder beside its samples; refuses to go on with others, which would mix samples."""
    path = output / "prepare.json"
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known != settings:
            raise ValueError(f"{output}: was prepared with {known}, now {settings}; choose another folder")
        return
    if (output / RAW).exists():
        raise ValueError(f"{output}: expected a new folder, or one that this command began; {RAW} is there already")
    _write_json(path, settings)


def _run(names, prepare, done):
    """Prepares each sample that is not ``done``; reports what fails and goes on. Returns the exit code."""
    counts = {"prepared": 0, "complete already": 0, "failed": 0}
    for number, name in enumerate(names, 1):
        try:
            if done(name):
                counts["complete already"] += 1
                continue
            prepare(name)
            counts["prepared"] += 1
            print(f"[{number}/{len(names)}] {name}", file=sys.stderr, flush=True)
        except (ValueError, OSError, MemoryError) as error:
            counts["failed"] += 1
            reason = " ".join(str(error).split()) or type(error).__name__
            print(f"[{number}/{len(names)}] {name}: error: {reason}", file=sys.stderr, flush=True)
    print(f"{len(names)} samples: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return 2 if counts["failed"] else 0


COMMANDS = {"raw-folder": raw_folder, "zurich": zurich, "incomplete": incomplete}


def main(arguments=None):
    """Entry point of ``python -m train.prepare``; returns the exit code."""
    description = "Make split folders to train on, in the layout of the S24."
    options = {"prog": "python -m train.prepare", "description": description, "args": arguments}
    try:
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, **options)
    except (ValueError, OSError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
