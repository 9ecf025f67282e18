"""Small valid files of every kind that is read, as bytes; the only files not made here are real ones, where present."""

import dataclasses
import json
import os
import tempfile
from pathlib import Path

import numpy as np

BAYER = ("RGGB", "BGGR", "GRBG", "GBRG")
CM = [[0.70, -0.20, -0.06], [-0.40, 1.20, 0.22], [-0.08, 0.20, 0.58]]
SHARED = Path(os.environ.get("MODISP_SHARED", Path(__file__).resolve().parents[3] / "shared"))
REAL_BYTES = 400_000
"""Of a real raw file: its directories, maker notes and the beginning of the data. It is read as one cut short."""


@dataclasses.dataclass(frozen=True)
class Seed:
    """A valid input: one file, or one with companions that lie beside it."""

    kind: str
    """What reads it: a key of the readers' table."""
    name: str
    """Of the file that readers are given."""
    files: dict
    """Name to bytes of each file; any of them is damaged."""


def make_seeds(real=True):
    """All seeds; with ``real``, beginnings of real raw files too, where they are."""
    makers = (_raws, _split, _pictures, _photos, _containers, _params, _checkpoints, _texts, _states, _manifests)
    with tempfile.TemporaryDirectory() as folder:
        seeds = [seed for make in makers for seed in make(Path(folder))]
    return seeds + (_real_raws() if real else [])


def _of(kind, path, *more):
    return Seed(kind, path.name, {file.name: file.read_bytes() for file in (path, *more)})


def _dng(path, pixels, photometric, extra=(), **options):
    """A DNG of any layout that tifffile writes."""
    import tifffile

    tags = [
        (50706, 1, 4, bytes([1, 4, 0, 0]), True),
        (271, 2, 0, "fuzz", True),
        (272, 2, 0, "camera", True),
        (50721, 10, 9, tuple(int(v) for x in np.ravel(CM) for v in (round(x * 1000), 1000)), True),
        (50778, 3, 1, 21, True),
        (50728, 5, 3, (1, 2, 1, 1, 5, 8), True),
        *extra,
    ]
    if photometric == 32803:
        tags += [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)]
    tifffile.imwrite(path, pixels, photometric=photometric, metadata=None, extratags=tags, **options)
    return path


def monochrome_dng(path, pixels, **options):
    """A linear DNG of one channel: tifffile writes no such thing, so its photometric tag is changed afterwards."""
    _dng(path, pixels, 32803, **options)
    data = bytearray(path.read_bytes())
    place = data.index((262).to_bytes(2, "little") + b"\x03\0\x01\0\0\0" + (32803).to_bytes(2, "little"))
    data[place + 8 : place + 10] = (34892).to_bytes(2, "little")
    path.write_bytes(data)
    return path


def _raws(folder):
    import imagecodecs

    from modisp_jax.io.synthetic import write_synthetic_dng

    rng = np.random.default_rng(0)
    mosaic = rng.integers(600, 16000, (32, 48)).astype(np.uint16)
    linear = rng.random((24, 32, 3)).astype(np.float32)
    files = [write_synthetic_dng(folder / f"{p}.dng", size=(32, 40), pattern=p, orientation=k) for k, p in
             enumerate(BAYER, 3)]  # fmt: skip
    files += [
        _dng(folder / "big_endian.dng", mosaic, 32803, byteorder=">"),
        _dng(folder / "tiny.dng", mosaic[:16, :16], 32803),
        _dng(folder / "tiles.dng", mosaic, 32803, tile=(16, 16)),
        _dng(folder / "u16.dng", (linear * 65535).astype(np.uint16), 34892),
        _dng(folder / "u8.dng", (linear * 255).astype(np.uint8), 34892),
        _dng(folder / "deflate.dng", (linear * 65535).astype(np.uint16), 34892, compression=8, predictor=2),
        _dng(folder / "f32.dng", linear, 34892),
        _dng(folder / "f32_deflate.dng", linear, 34892, compression=8, predictor=3),
        _dng(folder / "f16.dng", linear.astype(np.float16), 34892),
        _dng(folder / "f16_mosaic.dng", linear[..., 0].astype(np.float16), 32803),
        monochrome_dng(folder / "mono.dng", mosaic),
        monochrome_dng(folder / "mono_f32.dng", linear[..., 0]),
        _dng(folder / "table.dng", (mosaic >> 6).astype(np.uint8), 32803,
             extra=[(50712, 3, 256, tuple(range(0, 65536, 256)), True)]),
    ]  # fmt: skip
    files.append(_with_thumbnail(folder / "thumbnail.dng", mosaic))
    strip = imagecodecs.ljpeg_encode(mosaic, bitspersample=14)
    options = {"shape": mosaic.shape, "dtype": np.uint16, "compression": 7, "rowsperstrip": 32}
    files.append(_dng(folder / "ljpeg.dng", iter([strip]), 32803, **options))
    return [_of("raw", file) for file in files]


def _with_thumbnail(path, mosaic):
    """A DNG whose first directory is a thumbnail and whose raw image is a SubIFD, as most cameras write them."""
    import tifffile

    pattern = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)]
    with tifffile.TiffWriter(path) as tiff:
        version = [(50706, 1, 4, bytes([1, 4, 0, 0]), True), (50728, 5, 3, (1, 2, 1, 1, 5, 8), True)]
        thumbnail = np.zeros((8, 12, 3), np.uint8)
        tiff.write(thumbnail, subifds=1, subfiletype=1, photometric="rgb", metadata=None, extratags=version)
        tiff.write(mosaic, photometric=32803, metadata=None, extratags=pattern)
    return path


def _real_raws():
    found = []
    for folder in ("raw", "bad_raw"):
        place = SHARED / "data" / folder
        found += sorted(place.iterdir()) if place.is_dir() else []
    return [Seed("raw", path.name, {path.name: _beginning(path)}) for path in found]


def _beginning(path):
    with path.open("rb") as file:
        return file.read(REAL_BYTES)


def _split(folder):
    """The layout of the S24 set: a raw PNG of 16 bits and its JSON."""
    import imagecodecs

    png, facts = folder / "photo.png", folder / "photo.json"
    png.write_bytes(imagecodecs.png_encode(np.random.default_rng(1).integers(0, 65535, (16, 20, 3)).astype(np.uint16)))
    more = {"iso": 200, "exposure_time": 0.01, "colorMatrix1": CM, "make": "Samsung"}
    content = {"cam_illum": [0.5, 1, 0.6], "ccm": [[1.7, -0.5, -0.2], [-0.2, 1.5, -0.3], [0, -0.6, 1.6]]}
    facts.write_text(json.dumps(content | {"orientation": 1, "additional_metadata": more}))
    return [_of("split", png, facts)]


def _pictures(folder):
    import tifffile
    from PIL import Image

    from modisp_jax.io.exif import exif_from_raw
    from modisp_jax.io.images import write_image
    from modisp_jax.io.synthetic import write_synthetic_dng

    rng = np.random.default_rng(2)
    pixels = rng.random((18, 22, 3)).astype(np.float32)
    raw = write_synthetic_dng(folder / "of_exif.dng", size=(32, 32))
    exif = exif_from_raw(raw, settings={"modisp_jax": "0", "edits": {"contrast": 0.5}}, orientation=6)
    files = [write_image(folder / f"a{suffix}", pixels, exif=exif) for suffix in (".jpg", ".png", ".tif")]
    files.append(write_image(folder / "b.png", pixels, bits=16, exif=exif))
    tifffile.imwrite(folder / "grey.tif", pixels[..., 0] > 0.5)
    tifffile.imwrite(folder / "lzw.tif", (pixels * 255).astype(np.uint8), compression="lzw")
    Image.fromarray((pixels * 255).astype(np.uint8)).save(folder / "c.jpg", progressive=True, quality=60)
    Image.fromarray((pixels * 255).astype(np.uint8)).convert("P").save(folder / "palette.png")
    files += [folder / name for name in ("grey.tif", "lzw.tif", "c.jpg", "palette.png")]
    return [_of("picture", file) for file in files]


def _photos(folder):
    """Finished photos of the kinds that only ``read_photo`` takes, and with colour profiles."""
    from PIL import Image, features

    from tests.icc_profiles import cmyk_profile, gamma_curve, grey_profile, rgb_profile

    p3 = rgb_profile(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), gamma_curve(2.2))
    pixels = Image.fromarray((np.random.default_rng(3).random((18, 22, 3)) * 255).astype(np.uint8))
    pixels.save(folder / "p.webp", lossless=True, icc_profile=p3)
    pixels.save(folder / "q.webp", quality=60)
    pixels.save(folder / "p3.jpg", icc_profile=p3)
    pixels.save(folder / "p3.png", icc_profile=p3)
    pixels.convert("L").save(folder / "grey.png", icc_profile=grey_profile(1.8))
    pixels.convert("CMYK").save(folder / "cmyk.jpg", icc_profile=cmyk_profile())
    names = ["p.webp", "q.webp", "p3.jpg", "p3.png", "grey.png", "cmyk.jpg"]
    if features.check("avif"):
        pixels.save(folder / "p.avif", quality=60)
        names.append("p.avif")
    return [_of("photo", folder / name) for name in names]


def _containers(folder):
    """JPEGs that carry their raw, by codec, with and without a look; and one of the published tool's kind."""
    import jax

    import modisp_jax as mj
    from modisp_jax.fit.look import neutral_look
    from modisp_jax.io.synthetic import write_synthetic_dng

    raw = mj.read_raw(write_synthetic_dng(folder / "kept.dng", size=(32, 32)))
    picture = np.random.default_rng(4).random((32, 32, 3)).astype(np.float32)
    settings = {"modisp_jax": "0", "raw": "kept.dng", "params": "neutral", "edits": {"contrast": 0.5}}
    settings |= {"white_balance": {"mode": "auto", "illuminant": [0.5, 1.0, 0.6]}, "halo_fix": 20}
    made = [
        mj.save_jpeg_with_raw(folder / "lossless.jpg", picture, raw, codec="lossless", settings=settings),
        mj.save_jpeg_with_raw(folder / "curve.jpg", picture, raw, settings=settings, look=neutral_look((8, 8))),
    ]
    networks = mj.init_params(jax.random.key(0), mj.PipelineConfig(None, None, None, io=("raw_adapter",)))["io"]
    adapter = networks["raw_adapter"]
    made.append(mj.save_jpeg_with_raw(folder / "adapter.jpg", picture, raw, codec="adapter", params=adapter))
    made.append(mj.save_published_jpeg(folder / "published.jpg", picture, raw, adapter, edits={"contrast": 1}))
    return [_of("container", path) for path in made]


def _manifests(folder):
    from modisp_jax.batch.manifest import Manifest

    about = {"size": 10, "mtime_ns": 5, "group": "dng", "outputs": ["a.jpg"]}
    picture = {"a.jpg": {"size": 3, "sha256": "0" * 64, "mtime_ns": 7}}
    with Manifest(folder) as manifest:
        manifest.add(
            {"modisp_batch": 1, "settings": {"params": "neutral"}},
            {"run": 1, "time": 1.5, "workers": "1 process", "jax": "0", "host": "a", "pid": 1},
            {"plan": "/a.dng"} | about,
            {"plan": "/b.dng"} | about | {"outputs": ["b.jpg"]},
            {"start": "/a.dng", "run": 1, "by": "process 2"},
            {"done": "/a.dng", "seconds": 0.5, "outputs": picture},
            {"failed": "/b.dng", "reason": "b.dng: expected another"},
            {"end": 1, "done": 1, "failed": 1},
        )
        path = manifest.path
    return [_of("manifest", path)]


def _init(config):
    import jax

    from modisp_jax import init_params

    return init_params(jax.random.key(0), config)


def _tiny_params():
    from modisp_jax import NAFNetConfig, PipelineConfig

    tiny = NAFNetConfig(2, (1,), 1, (1,))
    return _init(PipelineConfig(tiny, None, tiny, awb=("camera_specific", "preference")))


def _params(folder):
    from modisp_jax.checkpoints import save_params

    params = _tiny_params()
    save_params(folder / "tiny.safetensors", params, {"what": "seed"})
    save_params(folder / "denoise.safetensors", {"denoise": params["denoise"]})
    return [_of("params", folder / name) for name in ("tiny.safetensors", "denoise.safetensors")]


BACK = {
    "conv": lambda x: x.transpose(3, 2, 0, 1),
    "depthwise": lambda x: x.transpose(2, 0, 1)[:, None],
    "linear": lambda x: x.transpose(1, 0),
    "vector": lambda x: x,
    "chroma_lut": lambda x: x.transpose(2, 0, 1)[None],
    "rgb_lut": lambda x: x.transpose(3, 2, 1, 0)[None],
}
"""The importer's layouts backwards."""


def published(params, table):
    """Tensors by their published names, of a network's parameters and the importer's table."""
    from modisp_jax.tree import flatten

    flat = flatten(params)
    return {name: np.ascontiguousarray(BACK[layout](np.asarray(flat[place]))) for name, place, layout in table}


def _checkpoints(folder):
    """Published layouts in miniature, but photofinishing, which has one size."""
    from modisp_jax import PhotofinishConfig, PipelineConfig, torch_import, torch_tables
    from modisp_jax.config import NAFNetConfig
    from modisp_jax.ops.lut import identity_chroma_lut
    from tests.torch_files import Storage, tensor, write_checkpoint, write_legacy

    tiny, tables = _tiny_params(), torch_tables.AWB_TABLES
    files = {"nafnet": published(tiny["denoise"], torch_tables.nafnet_table(NAFNetConfig(2, (1,), 1, (1,))))}
    for name in ("preference", "camera_specific"):
        files[name] = published(tiny["awb"][name], tables[name]())
    config = PhotofinishConfig(rgb_lut=True, chroma_lut_axes="crcb")
    finish = _init(PipelineConfig(None, config, None))["photofinish"]
    mesh = {torch_import.MESH: np.asarray(BACK["chroma_lut"](identity_chroma_lut()), np.float32)}
    files["finish"] = published(finish, torch_tables.photofinish_table(config)) | mesh
    numbers = np.arange(24, dtype=np.float32)
    files["views"] = {"a": tensor(Storage(numbers), 0, (4, 6), (6, 1)), "b": tensor(Storage(numbers), 1, (3,), (2,))}
    old = write_legacy(folder / "old.pth", files["nafnet"])
    written = {name: write_checkpoint(folder / f"{name}.pth", state) for name, state in files.items()}
    ranges = folder / "camera_specific.json"
    capture = {"capture-data-min": [0.0] * 8, "capture-data-max": [1.0] * 8}
    ranges.write_text(json.dumps({"hist_boundaries": [-2.0, -2.0, 2.0, 2.0], "norm_values": capture}))
    seeds = [
        _of("checkpoint", file, *([ranges] if name == "camera_specific" else [])) for name, file in written.items()
    ]
    return [*seeds, _of("checkpoint", old)]


def _texts(folder):
    from modisp_jax.io.cube import write_cube
    from modisp_jax.style_file import StyleFile, write_style_file

    mix = (("vivid", 0.7, {}), ("mono", 0.3, {"chroma": 0.0}))
    write_style_file(folder / "style.json", StyleFile(mix, {"contrast": 0.2, "vibrance": -0.3}, "for tests"))
    grid = np.linspace(0, 1, 3)
    table = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1)
    write_cube(folder / "table.cube", table, title="seed")
    return [_of("style", folder / "style.json"), _of("cube", folder / "table.cube")]


STATE = {"step": np.array(3), "weights": np.arange(12, dtype=np.float32).reshape(3, 4)}
IDENTITY = {"pairs": ["a", "b"], "steps": 10}


def _states(folder):
    from modisp_jax.fit.state import save_state

    save_state(folder / "state.npz", STATE, [{"step": 0, "loss": 1.5}], IDENTITY)
    return [_of("state", folder / "state.npz")]
