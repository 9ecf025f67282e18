"""Raw inside the JPEG: pictures that every viewer opens and that can be rendered again from their raw."""

import dataclasses
import hashlib
import io
import json
import mmap
import zlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from modisp_jax import __version__
from modisp_jax.io import published_raw_jpeg as published
from modisp_jax.io.images import FORMATS, replacing, write_image
from modisp_jax.io.libraw import RawError
from modisp_jax.io.limits import LARGEST_AREA, LARGEST_SIDE
from modisp_jax.io.load import load_mosaic, load_raw
from modisp_jax.io.metadata import RawMetadata
from modisp_jax.io.raw_container import ContainerError, JpegError, attach, find_member, is_jpeg, make_member
from modisp_jax.io.raw_curve import decode_curve, decode_jpeg_planes, encode_curve
from modisp_jax.io.raw_look import decode_look, encode_look, inflate
from modisp_jax.io.raw_lossless import decode_lossless, encode_lossless, frame_of
from modisp_jax.ops.demosaic import demosaic_malvar
from modisp_jax.raw_adapter import RawAdaptation, choose_raw_adaptation, process_raw, restore_raw
from modisp_jax.types import Look, Raw, check_image

CODECS = ("lossless", "curve", "adapter")
DEFAULT_CODEC = "curve"
"""By the table of docs/format.md."""
_FREE_PIXELS, _PIXELS_PER_BYTE = 2**25, 128
"""A raw of more pixels than the first must have at most so many for each byte of its file: the picture alone needs
more than that. What states more is a bomb."""


_NO_MOSAIC = "expected a Bayer mosaic of R, G, G and B, got a raw that is demosaiced already"
_DEMOSAICED_ANEW = "the sensor's values are those that were kept, but this LibRaw interpolates them differently"


@dataclasses.dataclass(frozen=True)
class JpegWithRaw:
    """What a JPEG carries beside its picture."""

    raw: Raw
    """The raw; ``metadata.format`` says how it was kept."""
    codec: str
    """One of ``CODECS``, or ``"published"``: written by the published tool."""
    settings: dict
    """How the picture was made: what was given to :func:`save_jpeg_with_raw`; of the published tool, its edits."""
    look: Look | None
    """The look, where one was given."""
    header: dict
    """All that the container says, as plain JSON values."""


def save_jpeg_with_raw(
    path,
    srgb,
    raw,
    *,
    codec=DEFAULT_CODEC,
    raw_quality=97,
    quality=95,
    params=None,
    settings=None,
    look=None,
    exif=None,
    orientation="apply",
):
    """Writes an ordinary JPEG that carries the raw it was rendered from; returns the path.

    Args:
      path: ending in .jpg or .jpeg. The file appears there only when it is whole.
      srgb: the picture, float [H', W', 3] in [0, 1]; any size.
      raw: a :class:`modisp_jax.Raw`.
      codec: ``"lossless"`` (``raw.image`` comes back bit for bit), ``"curve"`` (8 bits through a curve fitted to the
        photo) or ``"adapter"`` (8 bits as the published network chooses). The light, the matrix and the saturation are
        exact with all three.
      raw_quality: 1..100, of the raw, for the codecs that lose something.
      quality, exif, orientation: of the picture, see :func:`modisp_jax.io.images.write_image`.
      params: parameters of the network for ``"adapter"``, ``params["io"]["raw_adapter"]``.
      settings: a dict that JSON can hold: edits, style, how the picture was made.
      look: a :class:`modisp_jax.Look` to keep: exact but for the local tone maps, in steps of 2^-11.

    Raises:
      ValueError: wrong shapes, not finite, an unknown codec, settings that JSON cannot hold.

    The format: docs/format.md. Reference: arXiv 2512.08564, section I.10, for the idea and for ``"adapter"``.
    """
    path = _jpeg_path(path)
    image = _checked_image(raw)
    if codec not in CODECS:
        raise ValueError(f"codec: expected one of {CODECS}, got {codec!r}")
    _check_quality(raw_quality)
    metadata = raw.metadata or RawMetadata(size=image.shape[:2])
    color = {name: _numbers(getattr(raw, name)) for name in ("illuminant", "ccm", "saturation")}
    _colors(color)  # which raises what reading it would
    jpeg, facts, parts = _encode(codec, image, raw, metadata, raw_quality, params)
    header = {
        "codec": codec,
        "size": list(image.shape[:2]),
        codec: facts,
        "color": color,
        "metadata": metadata.to_dict(),
        "settings": _json_settings(settings),
        "software": f"modisp_jax {__version__}",
    }
    if look is not None:
        header["look"], more = encode_look({f.name: getattr(look, f.name) for f in dataclasses.fields(Look)})
        parts |= more
    member = make_member(jpeg, header, parts)
    properties = {"Version": "1", "Codec": codec, "Software": header["software"]}
    properties |= {
        name: json.dumps(header[name.lower()], allow_nan=False) for name in ("Size", "Color", "Metadata", "Settings")
    }
    _write(path, srgb, quality, exif, orientation, lambda picture: attach(picture, member, properties))
    return path


def read_jpeg_with_raw(path):
    """Reads what a JPEG carries beside its picture, ours or the published tool's: a :class:`JpegWithRaw`.

    Raises:
      ValueError: no JPEG, one without a raw, or a raw that is damaged, cut short or of a later version.
    """
    found = read_raw_of_jpeg(path)
    if found is None:
        raise RawError(f"{path}: expected a JPEG that carries a raw, got one without")
    return found


def read_raw_of_jpeg(path, *, demosaic="libraw"):
    """As :func:`read_jpeg_with_raw`, but None for a file that is no JPEG or carries no raw."""
    path = Path(path)
    if not path.is_file():
        return None
    try:
        with open(path, "rb") as file:
            if not is_jpeg(file.read(3)):
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _read(data, demosaic)
    except JpegError:
        return None  # whatever opens JPEGs will say what is wrong with it
    except OSError as error:
        raise RawError(f"{path}: expected a readable file, got: {error.strerror or error}") from None
    except ValueError as error:
        raise RawError(f"{path}: {error}") from None


def save_published_jpeg(path, srgb, raw, params, *, raw_quality=95, quality=95, edits=None, exif=None):
    """Writes a JPEG with its raw as the published tool does, for that tool to read; returns the path.

    Args:
      path, srgb, quality, exif: see :func:`save_jpeg_with_raw`.
      raw: a :class:`modisp_jax.Raw`; None writes a file without one.
      params: parameters of the published network, ``params["io"]["raw_adapter"]``.
      raw_quality: the tool has networks for 25, 50, 75 and 95.
      edits: a dict that JSON can hold.

    The tool's reader takes the first FF D9 for the picture's end: ``exif`` must not hold a thumbnail. It also loses the
    metadata of a file without a raw.
    """
    path = _jpeg_path(path)
    _check_quality(raw_quality)
    jpeg = lut = gamma_map = None
    metadata = {}
    if raw is not None:
        image = _checked_image(raw)
        lut, gamma_map, planes = _adapt(image, params)
        jpeg = _rgb_jpeg(planes, raw_quality, comment=published.make_comment(lut, gamma_map))
        about = raw.metadata or RawMetadata()
        metadata = published.make_metadata(np.asarray(raw.illuminant), np.asarray(raw.ccm), image.shape[:2], about)
    file = published.make_published
    _write(path, srgb, quality, exif, "apply", lambda picture: file(picture, jpeg, lut, gamma_map, metadata, edits))
    return path


def _write(path, srgb, quality, exif, orientation, finish):
    """Writes ``finish`` of the picture's JPEG bytes, whole or not at all."""
    with replacing(path) as temporary:
        write_image(temporary, srgb, quality=quality, exif=exif, orientation=orientation)
        temporary.write_bytes(finish(temporary.read_bytes()))


def _jpeg_path(path):
    path = Path(path)
    if FORMATS.get(path.suffix.lower()) != "jpeg":
        raise ValueError(f"{path}: expected a name ending in .jpg or .jpeg to keep a raw in, got {path.suffix!r}")
    return path


def _check_quality(quality):
    if not 1 <= quality <= 100:
        raise ValueError(f"raw_quality: expected 1..100, got {quality}")


def _checked_image(raw):
    if not isinstance(raw, Raw):
        raise ValueError(f"raw: expected a modisp_jax.Raw, got {type(raw).__name__}")
    height, width = check_image(raw.image, "raw.image")
    if max(height, width) > LARGEST_SIDE or height * width > LARGEST_AREA:
        most = f"sides up to {LARGEST_SIDE} and {LARGEST_AREA} pixels"
        raise ValueError(f"raw.image: expected {most}, got {height} x {width}")
    image = np.asarray(raw.image, np.float32)
    if not np.isfinite(image).all():
        raise ValueError("raw.image: expected finite values")
    return image


def _numbers(array):
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"raw: expected finite colour, got {array.tolist()}")
    return array.astype(np.float64).tolist()


def _json_settings(settings):
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise ValueError(f"settings: expected a dict, got {type(settings).__name__}")
    try:
        return json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"settings: expected what JSON can hold, got: {error}") from None


def _encode(codec, image, raw, metadata, quality, params):
    """(the member's own picture, facts, parts) of an image by a codec."""
    if codec == "lossless":
        facts, parts = encode_lossless(image, metadata, _develop)
        return _preview(image, raw), {**facts, "image_sha256": _digest(image)}, parts
    if codec == "curve":
        jpeg, facts = encode_curve(_clipped(image), np.asarray(raw.illuminant), quality, metadata.color.noise_profile)
        return jpeg, facts, {}
    lut, gamma_map, planes = _adapt(image, params)
    parts = {"lut": lut.astype("<f4").tobytes(), "gamma_map": zlib.compress(gamma_map.astype("<f4").tobytes(), 9)}
    return _rgb_jpeg(planes, quality), {"quality": quality}, parts


def _adapt(image, params):
    """(LUT, gamma map, the processed raw in 8 bits) by the published network."""
    if params is None:
        raise ValueError("params: expected the network's parameters for the codec 'adapter' (mj.import_torch)")
    adaptation = choose_raw_adaptation(params, image)
    planes = np.rint(np.asarray(process_raw(image, adaptation)) * np.float32(255)).astype(np.uint8)
    return np.asarray(adaptation.lut), np.asarray(adaptation.gamma_map), planes


def _digest(image):
    return hashlib.sha256(np.ascontiguousarray(image, "<f4")).hexdigest()


def _rgb_jpeg(planes, quality, comment=None):
    """As the published tool stores it: Pillow's, 4:2:0."""
    from PIL import Image

    out = io.BytesIO()
    options = {} if comment is None else {"comment": comment}
    Image.fromarray(planes).save(out, "jpeg", quality=int(quality), subsampling=2, **options)
    return out.getvalue()


def _preview(image, raw):
    """A small JPEG of the raw, white balanced, for those who open the member as a picture."""
    step = max(1, max(image.shape[:2]) // 320)
    light = np.asarray(raw.illuminant, np.float32)
    small = _clipped(image[::step, ::step]) * (light.max() / np.maximum(light, 1e-6 * light.max()))
    return _rgb_jpeg(np.rint(np.clip(small, 0, 1) ** np.float32(1 / 2.2) * 255).astype(np.uint8), 75)


def _clipped(image):
    return np.clip(image, 0, 1)


def _develop(path, demosaic):
    """The image of a raw file as :func:`modisp_jax.read_raw` gives it, NumPy."""
    if demosaic == "libraw":
        return load_raw(path).image
    mosaic = load_mosaic(path)
    return np.asarray(demosaic_malvar(mosaic.values, pattern=mosaic.pattern))


def _read(data, demosaic):
    member = find_member(data)
    if member is not None:
        return _from_member(member, len(data), demosaic)
    found = published.find_published(data)
    if found is None or found.jpeg is None:
        return None
    if demosaic != "libraw":
        raise ContainerError(_NO_MOSAIC)
    return _from_published(found, len(data))


def _from_published(found, file_size):
    size = frame_of(found.jpeg)[:2]
    _check_size(size, file_size)
    planes = decode_jpeg_planes(found.jpeg, size, "RGB")
    illuminant, ccm, metadata = published.read_metadata(found.metadata, size)
    image = restore_raw(planes.astype(np.float32) / np.float32(255), RawAdaptation(found.lut, found.gamma_map))
    metadata = dataclasses.replace(metadata, format="JPEG with raw, published")
    raw = Raw(image, jnp.asarray(illuminant, jnp.float32), jnp.asarray(ccm, jnp.float32), metadata=metadata)
    header = {"codec": "published", "size": list(size), "metadata": found.metadata}
    return JpegWithRaw(raw, "published", found.edits, None, header)


def _check_size(size, file_size):
    is_size = len(size) == 2 and all(type(side) is int and 1 <= side <= 65535 for side in size)
    if not is_size:
        raise ContainerError(f"expected a raw's height and width, got {size!r}")
    most = min(LARGEST_AREA, max(_FREE_PIXELS, _PIXELS_PER_BYTE * file_size))
    if size[0] * size[1] > most:
        raise ContainerError(f"expected a raw of at most {most} pixels in a file of this length, got {size}")


def _from_member(member, file_size, demosaic):
    header, parts = member.header, member.parts
    codec, facts = header.get("codec"), header.get(header.get("codec"))
    if codec not in CODECS or not isinstance(facts, dict):
        raise ContainerError(f"expected a codec of {', '.join(CODECS)}, got {codec!r}")
    size = header.get("size")
    _check_size(size if isinstance(size, list) else [], file_size)
    size = tuple(size)
    metadata = RawMetadata.from_dict(header.get("metadata"))
    if demosaic != "libraw" and facts.get("kind") != "mosaic":
        raise ContainerError(_NO_MOSAIC)
    if codec == "lossless":
        wanted = facts if demosaic == "libraw" else {**facts, "demosaic": demosaic}
        image = decode_lossless(wanted, parts, size, _develop)
    elif codec == "curve":
        image = decode_curve(member.jpeg, facts, size)
    else:
        planes = decode_jpeg_planes(member.jpeg, size, "RGB")
        image = restore_raw(planes.astype(np.float32) / np.float32(255), _adaptation(parts))
    if codec == "lossless" and wanted == facts and facts.get("image_sha256") != _digest(image):
        metadata = dataclasses.replace(metadata, warnings=(*metadata.warnings, _DEMOSAICED_ANEW))
    metadata = dataclasses.replace(metadata, format=f"JPEG with raw, {codec}")
    raw = Raw(jnp.asarray(image), **_colors(header.get("color")), metadata=metadata)
    look = decode_look(header["look"], parts) if header.get("look") is not None else None
    look = look and Look(**{name: None if array is None else jnp.asarray(array) for name, array in look.items()})
    settings = header.get("settings")
    return JpegWithRaw(raw, codec, settings if isinstance(settings, dict) else {}, look, header)


def _adaptation(parts):
    lut = parts.get("lut", b"")
    if len(lut) != 4 * 3 * 129:
        raise ContainerError(f"part 'lut': expected {4 * 3 * 129} bytes, got {len(lut)}")
    gamma_map = np.frombuffer(inflate(parts.get("gamma_map", b""), 40000, "gamma_map"), "<f4")
    lut = np.frombuffer(lut, "<f4").reshape(3, 129)
    if not (np.isfinite(lut).all() and np.isfinite(gamma_map).all()):
        raise ContainerError("expected finite coefficients of the adapter")
    return RawAdaptation(jnp.asarray(lut), jnp.asarray(gamma_map.reshape(100, 100, 1)))


def _colors(found):
    """Illuminant, matrix and saturation of a header, as ``Raw`` has them."""
    colors = {}
    for name, shapes in (("illuminant", [(3,)]), ("ccm", [(3, 3)]), ("saturation", [(), (3,)])):
        try:
            array = np.asarray(found[name], np.float32)
        except (KeyError, TypeError, ValueError):
            raise ContainerError(f"expected the raw's {name}, got none") from None
        if array.shape not in shapes or not np.isfinite(array).all():
            raise ContainerError(f"expected {name} of shape {shapes[-1]}, finite, got {found[name]!r}")
        colors[name] = jnp.asarray(array)
    if not (colors["illuminant"] > 0).all():
        raise ContainerError(f"expected a positive illuminant, got {found['illuminant']!r}")
    return colors
