"""How many bytes does a raw inside the JPEG take, how near is what comes back, and how near the picture rendered again?

    python3 dev.py run benchmarks/raw_in_jpeg.py --write

For each raw photo, codec and quality: bytes of the raw (the member of the file, docs/format.md), PSNR in dB of the
restored camera RGB in [0, 1], PSNR of its rendering with default parameters against the rendering of the original, and
seconds to write and to read the whole file (the second of two runs). "curve at equal bytes" is interpolated between
the curve's rows, linearly in the logarithm of the bytes. The lesser tables: other lossless coders on the same mosaic,
the choices inside the curve codec (rendered: the middle 1024 x 1024 pixels), and what a look adds.
"""

import dataclasses
import io
import tempfile
import time
from pathlib import Path

import common
import jax
import numpy as np
import tyro

import modisp_jax as mj
from modisp_jax.io import raw_curve
from modisp_jax.io.raw_container import find_member
from modisp_jax.io.raw_lossless import _sampled

PAGE = Path(__file__).resolve().parent.parent / "docs" / "format.md"
CURVE = (98, 97, 95, 90, 85, 75)
CENTRE = 1024
"""Side of the square that the choices inside the codec are rendered on."""
ADAPTER = (95, 75)


@dataclasses.dataclass(frozen=True)
class Options:
    """Where photos and weights are, and whether to write."""

    photos: tuple[Path, ...] = (
        Path("../shared/data/raw/GOPR0024.DNG"),
        Path("../shared/data/raw/GPBK7066.DNG"),
    )
    """Raw photos."""
    weights: Path = Path("../shared/reference/weights/io")
    """Folder with raw_jpeg_adapter_q_95.pth and raw_jpeg_adapter_q_75.pth."""
    parts: tuple[str, ...] = ("rows", "lossless", "choices", "look")
    """What to measure; the results of the others stay."""
    write: bool = False
    """Replace results/raw_in_jpeg.json and the tables of docs/format.md."""


def psnr(a, b):
    error = np.mean(np.square(np.asarray(a) - np.asarray(b)), dtype=np.float64)
    return float(-10 * np.log10(error)) if error > 0 else None


def measure(raw, codec, quality, params, picture, render):
    """One row: what a codec makes of a raw."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        for _ in range(2):
            start = time.perf_counter()
            mj.save_jpeg_with_raw(path, picture, raw, codec=codec, raw_quality=quality, params=params)
            written = time.perf_counter()
            kept = mj.read_jpeg_with_raw(path)
            np.asarray(kept.raw.image)
            read = time.perf_counter()
        size, file_size = len(find_member(path.read_bytes()).jpeg), path.stat().st_size
    found = {
        "codec": codec,
        "quality": quality if codec != "lossless" else None,
        "bytes": size,
        "file_bytes": file_size,
        "raw_psnr": psnr(kept.raw.image, raw.image),
        "exact": bool(np.array_equal(kept.raw.image, raw.image)),
        "rendered_psnr": None if codec == "lossless" else psnr(render(kept.raw), picture),
        "write_seconds": written - start,
        "read_seconds": read - written,
    }
    print(found, flush=True)
    return found


def at_equal_bytes(rows, row, key):
    """The curve's PSNR at the bytes of another row."""
    curve = sorted((r["bytes"], r[key]) for r in rows if r["codec"] == "curve")
    sizes, values = np.array(curve).T
    return float(np.interp(np.log(row["bytes"]), np.log(sizes), values))


def power_and_jpeg(image, quality=90):
    """(bytes, restored) of the plainest way: a power of 1 / 2.2 and Pillow's JPEG without chroma subsampling."""
    from PIL import Image

    out = io.BytesIO()
    stored = np.rint(np.clip(image, 0, 1) ** np.float32(1 / 2.2) * 255).astype(np.uint8)
    Image.fromarray(stored).save(out, "jpeg", quality=quality, subsampling=0)
    restored = (np.asarray(Image.open(out)).astype(np.float32) / 255) ** np.float32(2.2)
    return len(out.getvalue()), restored


def lossless_sizes(raw):
    """Bytes of the mosaic, or of the demosaiced image, by other lossless coders."""
    import imagecodecs

    image, metadata = np.asarray(raw.image), raw.metadata
    mosaic = _sampled(image, metadata.pattern, metadata.black, metadata.white)
    planes = [np.ascontiguousarray(mosaic[i::2, j::2]) for i in (0, 1) for j in (0, 1)]
    whole = np.rint(image * 65535).astype(np.uint16)
    options = {"lossless": True, "bitspersample": 16}

    def of_planes(encode, **more):
        return sum(len(encode(plane, **more)) for plane in planes)

    return {
        "mosaic, LJPEG, one component": len(imagecodecs.jpeg_encode(mosaic, predictor=7, **options)),
        "mosaic, LJPEG, four planes": of_planes(imagecodecs.jpeg_encode, predictor=7, **options),
        "mosaic, JPEG-LS, four planes": of_planes(imagecodecs.jpegls_encode),
        "mosaic, JPEG 2000, four planes": of_planes(imagecodecs.jpeg2k_encode, reversible=True, level=0),
        "mosaic, JPEG XL effort 3, four planes": of_planes(imagecodecs.jpegxl_encode, lossless=True, effort=3),
        "demosaiced in 16 bits, LJPEG": len(imagecodecs.jpeg_encode(whole, predictor=7, **options)),
        "demosaiced in 16 bits, JPEG XL effort 3": len(imagecodecs.jpegxl_encode(whole, lossless=True, effort=3)),
    }


def curve_choices(raw, render):
    """Rows of the curve codec at quality 95 with other constants than its own."""
    image, own = np.asarray(raw.image), (raw_curve.EXPONENT, raw_curve.DEAD_ZONE, raw_curve.LUMA)
    top, left = ((side - CENTRE) // 2 for side in image.shape[:2])

    def render_centre(whole):
        return render(dataclasses.replace(raw, image=whole[top : top + CENTRE, left : left + CENTRE]))

    picture = render_centre(image)
    rows = []
    for exponent, dead_zone, luma in (
        own,
        (0.4, *own[1:]),
        (0.45, *own[1:]),
        (0.6, *own[1:]),
        (own[0], 0.5, own[2]),
        (own[0], 0.6, own[2]),
        (own[0], own[1], (1 / 3, 1 / 3, 1 / 3)),
    ):
        raw_curve.EXPONENT, raw_curve.DEAD_ZONE, raw_curve.LUMA = exponent, dead_zone, luma
        jpeg, facts = raw_curve.encode_curve(image, np.asarray(raw.illuminant), 95, raw.metadata.color.noise_profile)
        restored = raw_curve.decode_curve(jpeg, facts, image.shape[:2])
        rows.append(
            {
                "exponent": exponent,
                "dead_zone": dead_zone,
                "luma": [round(v, 2) for v in luma],
                "bytes": len(jpeg),
                "raw_psnr": psnr(restored, image),
                "rendered_psnr": psnr(render_centre(restored), picture),
            }
        )
        print(rows[-1], flush=True)
    raw_curve.EXPONENT, raw_curve.DEAD_ZONE, raw_curve.LUMA = own
    return rows


def codec_rows(raw, adapters, picture, render):
    rows = [measure(raw, "lossless", 97, None, picture, render)]
    rows += [measure(raw, "curve", quality, None, picture, render) for quality in CURVE]
    rows += [measure(raw, "adapter", quality, adapters[quality], picture, render) for quality in ADAPTER]
    size, restored = power_and_jpeg(np.asarray(raw.image))
    plain = dataclasses.replace(raw, image=restored)
    rows.append(
        {
            "codec": "power 1/2.2, JPEG 4:4:4",
            "quality": 90,
            "bytes": size,
            "raw_psnr": psnr(restored, raw.image),
            "rendered_psnr": psnr(render(plain), picture),
        }
    )
    for row in rows[-3:]:
        row["curve_raw_psnr"] = at_equal_bytes(rows, row, "raw_psnr")
        row["curve_rendered_psnr"] = at_equal_bytes(rows, row, "rendered_psnr")
    print(rows[-3:], flush=True)
    return rows


def look_row(raw, params, picture):
    """What a look adds to a file, and how near the rendering by the kept look comes."""
    chosen = []
    np.asarray(mj.render(params, raw, look=lambda look: chosen.append(look) or look))
    with tempfile.TemporaryDirectory() as folder:
        path = mj.save_jpeg_with_raw(Path(folder) / "a.jpg", picture, raw, raw_quality=75, look=chosen[0])
        kept = mj.read_jpeg_with_raw(path).look
        parts = find_member(path.read_bytes()).parts
    found = {
        "plain_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(chosen[0])),
        "bytes": {name: len(part) for name, part in parts.items()},
        "rendered_psnr": psnr(mj.render(params, raw, look=kept), picture),
    }
    print(found, flush=True)
    return found


def measure_photo(path, adapters, parts):
    raw = mj.read_raw(path)
    params = mj.load_params()

    def render(photo):
        return np.asarray(mj.render(params, photo))

    picture = render(raw)
    jobs = {
        "rows": lambda: codec_rows(raw, adapters, picture, render),
        "lossless": lambda: lossless_sizes(raw),
        "choices": lambda: curve_choices(raw, render),
        "look": lambda: look_row(raw, params, picture),
    }
    return {"size": list(raw.image.shape[:2])} | {part: jobs[part]() for part in parts}


def table_of(results):
    rows = ["| photo | codec | quality | raw, MB | raw, dB | rendered, dB | curve at equal bytes: raw, rendered | "]
    rows[0] += "write, s | read, s |"
    rows.append("|---" * 9 + "|")
    for name, found in results.items():
        for row in found["rows"]:
            exact = row.get("exact")
            decibels = ["exact" if exact else f"{row[key]:.1f}" for key in ("raw_psnr", "rendered_psnr")]
            equal = " | "
            if "curve_raw_psnr" in row:
                equal = f"{row['curve_raw_psnr']:.1f}, {row['curve_rendered_psnr']:.1f} | "
            seconds = " | ".join(f"{row[k]:.1f}" if k in row else "" for k in ("write_seconds", "read_seconds"))
            cells = f"{row['quality'] or ''} | {row['bytes'] / 1e6:.2f} | {' | '.join(decibels)} | {equal}{seconds}"
            rows.append(f"| {name} | {row['codec']} | {cells} |")
    return rows


def lossless_table(results):
    names = list(results)
    rows = [f"| what, how | {', MB | '.join(names)}, MB |", "|---" * (len(names) + 1) + "|"]
    chosen = [next(r["bytes"] for r in results[name]["rows"] if r["codec"] == "lossless") for name in names]
    lines = {"the codec: mosaic, LJPEG, two components, in a DNG": chosen}
    lines |= {how: [results[name]["lossless"][how] for name in names] for how in results[names[0]]["lossless"]}
    return rows + [f"| {how} | " + " | ".join(f"{b / 1e6:.2f}" for b in found) + " |" for how, found in lines.items()]


def choices_table(results):
    rows = ["| photo | exponent | dead zone | luma | MB | raw, dB | rendered, dB |", "|---" * 7 + "|"]
    for name, found in results.items():
        for row in found["choices"]:
            luma = ", ".join(f"{v:g}" for v in row["luma"])
            numbers = f"{row['bytes'] / 1e6:.2f} | {row['raw_psnr']:.2f} | {row['rendered_psnr']:.2f}"
            rows.append(f"| {name} | {row['exponent']} | {row['dead_zone']} | {luma} | {numbers} |")
    return rows


def look_table(results):
    rows = ["| photo | as float32, MB | kept, MB | rendered by it, dB |", "|---" * 4 + "|"]
    for name, found in results.items():
        look = found["look"]
        sizes = f"{look['plain_bytes'] / 1e6:.2f} | {sum(look['bytes'].values()) / 1e6:.2f}"
        rows.append(f"| {name} | {sizes} | {look['rendered_psnr']:.1f} |")
    return rows


TABLES = {"rows": table_of, "lossless": lossless_table, "choices": choices_table, "look": look_table}


def main(options: Options):
    about = common.machine()
    adapters = {
        quality: mj.import_torch(raw_adapter=options.weights / f"raw_jpeg_adapter_q_{quality}.pth")["io"]["raw_adapter"]
        for quality in ADAPTER
    }
    before = common.read_results("raw_in_jpeg").get("photos", {})
    results = {p.stem: before.get(p.stem, {}) | measure_photo(p, adapters, options.parts) for p in options.photos}
    for part in TABLES:
        if not all(part in found for found in results.values()):
            continue
        rows = TABLES[part](results)
        print(part, *rows, sep="\n")
        if options.write:
            common.write_table(PAGE, f"raw_in_jpeg_{part}", rows)
    if options.write:
        print(f"written to {common.write_results('raw_in_jpeg', {'photos': results}, about)}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
