"""How near are we to the published implementation, stage by stage, and to the exact solution?

Runs the published checkpoints through our code, compares with the arrays of ../shared/reference/vectors and prints a
table; ``--write`` puts it into docs/parity.md. Guided upsampling is also compared with float64, both ours and the
published: there the published float32 is the less exact of the two.

    python benchmarks/parity.py [--write]
"""

import dataclasses
from pathlib import Path

import guided_upsample_oracle as oracle
import jax
import jax.numpy as jnp
import numpy as np
import tyro

import modisp_jax as mj
from modisp_jax.color import rgb_to_ycbcr, ycbcr_to_rgb
from modisp_jax.config import PUBLISHED_HALO_FIX
from modisp_jax.io.dng_color import Calibration, CameraProfile
from modisp_jax.look import finish_by_networks
from modisp_jax.nets.linearize import CieXyzNet
from modisp_jax.nets.nafnet import NAFNet
from modisp_jax.ops.bilateral_grid import slice_grid
from modisp_jax.ops.bilateral_solver import bilateral_solve
from modisp_jax.ops.guided_upsample import guided_upsample
from modisp_jax.ops.lut import chroma_histogram, map_chroma, map_rgb
from modisp_jax.ops.tone_curve import tone_curve
from modisp_jax.params import nafnet_config
from modisp_jax.pipeline import shrink
from modisp_jax.torch_import import import_nafnet, import_photofinish

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "parity.md"
BEGIN, END = "<!-- parity: begin -->", "<!-- parity: end -->"
CLIP = mj.RenderConfig(clipped_highlights="clip")


@dataclasses.dataclass(frozen=True)
class Options:
    """Where the reference is, and whether to write the page."""

    shared: Path = ROOT.parent / "shared"
    """Folder with reference/vectors and reference/weights."""
    write: bool = False
    """Replace the tables of docs/parity.md."""


def row(name, actual, expected, bound):
    """A line of the table: largest and 99.9th percentile difference, and what is demanded of the largest."""
    difference = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64))
    return name, f"{difference.max():.1e}", f"{np.percentile(difference, 99.9):.1e}", bound


def operators(z):
    """Closed-form stages on the stored extreme inputs."""
    for case in range(6):
        y = tone_curve(z["tone_curve/x"], *z[f"tone_curve/{case}/abc"])
        yield row(f"tone curve, case {case}", y, z[f"tone_curve/{case}/y"], "1e-5")
    grid = z["slice/grid_cdhw"].transpose(2, 3, 1, 0)
    depth = 0.5 * (z["slice/guide"][..., 0] + 1) * (grid.shape[2] - 1)
    yield row("bilateral slice", slice_grid(jnp.asarray(grid), jnp.asarray(depth)), z["slice/out"], "1e-5")
    chroma = z["chroma_lut/lut"].transpose(2, 1, 0)
    yield row("chroma LUT", map_chroma(chroma, z["chroma_lut/cbcr"]), z["chroma_lut/out"], "1e-5")
    lut = z["rgb_lut/lut"].transpose(3, 2, 1, 0)
    yield row("colour LUT", map_rgb(lut, z["rgb_lut/rgb"]), z["rgb_lut/out"], "1e-5")
    histogram = jnp.sqrt(chroma_histogram(z["histogram/cbcr"]))
    yield row("chroma histogram", histogram, z["histogram/hist"], "1e-5")
    yield row("RGB to YCbCr", rgb_to_ycbcr(np.clip(z["ycbcr/rgb"], 0, 1)), z["ycbcr/ycbcr"], "1e-5")
    yield row("YCbCr to RGB", np.clip(ycbcr_to_rgb(z["ycbcr/ycbcr"]), 0, 1), z["ycbcr/back"], "1e-5")
    tuned = {"sigma_range": 0.008, "fidelity": 5e-4, "iterations": 80}  # those of the halo fix
    for name, options in (*((f"{n}", {"iterations": n}) for n in (1, 7, 80)), ("80_tuned", tuned)):
        solved, _ = bilateral_solve(z["bilateral_solver/init"], z["bilateral_solver/guide"], **options)
        title = f"bilateral solver, {name.replace('_', ' ')} iterations"
        yield row(title, solved, z[f"bilateral_solver/out_{name}"], "1e-5")


def networks(z, weights):
    """Each network alone, at an even and an odd size."""
    files = {
        "lite": "denoising/generic_lite.pth",
        "base": "denoising/generic_base.pth",
        "enh": "enhancement/enhancement_s24-style-0.pth",
    }
    for name, file in files.items():
        params = import_nafnet(weights / file)
        net = jax.jit(NAFNet(nafnet_config(params)).apply)
        for size in ("64x96", "77x101"):
            y = net({"params": params}, z[f"nafnet_{name}/{size}/x"])
            yield row(f"NAFNet {name}, {size}", y, z[f"nafnet_{name}/{size}/y"], "1e-5")
    for name, file in (("photofinishing", "style-0"), ("photofinishing-lut", "style-1-lut")):
        params = import_photofinish(weights / f"photofinishing/photofinishing_s24-{file}.pth")
        for size in ("96x128", "75x110"):
            get = {key: z[f"{name}/{size}/{key}"] for key in ("lsrgb", "gain", "gtm_abc", "inverse_gamma", "srgb")}
            maps, lut = z[f"{name}/{size}/ltm_maps_wabcg"], z[f"{name}/{size}/chroma_lut"].transpose(2, 1, 0)
            look, finished = finish_by_networks(params, get["lsrgb"], mj.Edits(), CLIP)
            title = f"{name} {file}, {size}"
            yield row(f"{title}: gain", look.gain, get["gain"][0], "1e-5")
            yield row(f"{title}: global tone curve", look.gtm, get["gtm_abc"], "1e-5")
            yield row(f"{title}: local tone maps", look.ltm, maps, "1e-5")
            yield row(f"{title}: chroma LUT", look.chroma_lut, lut, "1e-5")
            yield row(f"{title}: 1/gamma", look.inverse_gamma, get["inverse_gamma"][0], "1e-5")
            yield row(f"{title}: picture", finished.srgb, get["srgb"], "1e-5")


def halo_fix(z, weights):
    """Photofinishing with multi-scale local tone maps and the bilateral solver."""
    params = import_photofinish(weights / "photofinishing/photofinishing_s24-style-0.pth")
    config = mj.RenderConfig(halo_fix=PUBLISHED_HALO_FIX)
    look, finished = finish_by_networks(params, z["lsrgb"], mj.Edits(), config)
    yield row("halo fix: local tone maps", look.ltm, z["halo_fix/ltm_maps_wabcg"], "2e-4")
    yield row("halo fix: tone-mapped image", finished.local_tone, z["halo_fix/lsrgb_ltm"], "5e-5")
    yield row("halo fix: picture", finished.srgb, z["halo_fix/srgb"], "5e-5")


def white_balance(z, weights):
    """What the white-balance networks see of a noisy photo, and the lights that they find."""
    folder = weights / "awb"
    params = mj.import_torch(
        cross_camera=folder / "model-c5_single_encoder_neutral.pth",
        camera_specific=folder / "model-awb_iso_shutter_speed_noise.pt",
        camera_specific_config=folder / "config-awb_iso_shutter_speed_noise.json",
        preference=folder / "model-c5_single_encoder_neutral_to_s24_user_pref.pt",
    )["awb"]
    raw, denoised, net = z["raw"] / np.float32(65535), z["denoised"], params["camera_specific"]
    settings = {"iso": 250.0, "exposure_time": 1 / 30}  # of the stored capture vector
    low, high = net["ranges"]["histogram_min"], net["ranges"]["histogram_max"]
    profile = CameraProfile(tuple(Calibration(t, z[f"color_matrix{k}"]) for t, k in ((6504.0, 1), (2856.0, 2))))
    light = mj.cross_camera_illuminant(params["cross_camera"], raw)
    for name, ours, key in (
        ("cross-camera: histograms", mj.cross_camera_histogram(raw), "cross_camera/hist"),
        ("cross-camera: light", light, "cross_camera/illum"),
        ("camera-specific: histograms", mj.camera_specific_histogram(raw, low, high), "camera_specific/hist"),
        ("camera-specific: noise", mj.noise_statistics(raw, denoised), "camera_specific/noise_stats"),
        (
            "camera-specific: light",
            mj.camera_specific_illuminant(net, raw, denoised, **settings),
            "camera_specific/illum",
        ),
        (
            "preference: light, from ours across cameras",
            mj.preferred_neutral(params["preference"], light, profile),
            "preference/illum",
        ),
    ):
        yield row(name, ours, z[key], "1e-5")


def files(z, weights):
    """The networks of files: the raw-in-JPEG adapter there and back, and finished photos to XYZ."""
    params = mj.import_torch(
        raw_adapter=weights / "io/raw_jpeg_adapter_q_95.pth", cie_xyz=weights / "io/cie_xyz_net.pth"
    )["io"]
    raw = z["raw"] / np.float32(65535)
    adaptation = mj.choose_raw_adaptation(params["raw_adapter"], raw)
    stored = np.round(255 * z["processed"]) / np.float32(255)
    restored = mj.restore_raw(stored, mj.RawAdaptation(z["lut"], z["gamma_map"]))
    for name, ours, key in (
        ("raw adapter: curves", adaptation.lut, "lut"),
        ("raw adapter: exponents", adaptation.gamma_map, "gamma_map"),
        ("raw adapter: processed raw", mj.process_raw(raw, adaptation), "processed"),
        ("raw adapter: raw restored from 8 bits", restored, "restored_from_8bit"),
        ("CIE XYZ net", CieXyzNet().apply({"params": params["cie_xyz"]}, z["linearize/srgb"]), "linearize/xyz"),
    ):
        yield row(name, ours, z[key], "1e-5")


def pipeline(z, weights, denoiser, style, enhancement):
    """Every intermediate of the whole pipeline."""
    params = mj.import_torch(
        denoiser=weights / f"denoising/{denoiser}.pth",
        photofinishing=weights / f"photofinishing/photofinishing_s24-{style}.pth",
        enhancement=weights / f"enhancement/enhancement_s24-{enhancement}.pth",
    )
    raw = mj.Raw(jnp.asarray(z["raw_u16"] / np.float32(65535)), jnp.asarray(z["illum"]), jnp.asarray(z["ccm"]))
    stages = mj.render_stages(params, raw, config=CLIP)
    title = f"{denoiser} + {style}"
    for name, ours, key, bound in (
        ("denoised", stages.denoised, "denoised_raw", "1e-5"),
        ("linear", stages.linear, "lsrgb", "1e-5"),
        ("linear, small", stages.linear_small, "lsrgb_quarter", "1e-5"),
        ("gain", stages.finished.gained, "lsrgb_gain", "1e-5"),
        ("global tone", stages.finished.global_tone, "lsrgb_gtm", "5e-5"),
        ("local tone", stages.finished.local_tone, "lsrgb_ltm", "5e-5"),
        ("chroma", stages.finished.chroma, "processed_lsrgb", "5e-5"),
        ("small picture", stages.finished.srgb, "gamma", "5e-5"),
        ("upsampled", stages.upsampled, "bgu", "1e-2; p99.9 2e-4"),
        ("picture", stages.srgb, "srgb", "1e-2; p99.9 2e-4"),
    ):
        yield row(f"{title}: {name}", ours, z[f"default/{key}"], bound)


def upsampling(bgu, pipelines):
    """Ours and the published against float64 of the same formulas."""
    cases = []
    shape = bgu["photo/high_input"].shape
    small_shape = bgu["photo/low_input"].shape
    for gated in (1, 0):
        photo = (bgu["photo/low_input"], bgu["photo/low_target"], bgu["photo/high_input"])
        cases.append((f"photo, prior {'on' if gated else 'off'}", *photo, bgu[f"photo/out_reg{gated}"], bool(gated)))
        for name, source, target in (("flat", 0.3, 0.6), ("black", 0.0, 0.0)):
            small = [np.full(small_shape, value, np.float32) for value in (source, target)]
            full = np.full(shape, source, np.float32)
            title = f"{name}, prior {'on' if gated else 'off'}"
            cases.append((title, *small, full, bgu[f"{name}/out_reg{gated}"], bool(gated)))
    for name, z in pipelines.items():
        small = np.asarray(shrink(jnp.asarray(z["default/lsrgb"])))
        cases.append((name, small, z["default/gamma"], z["default/lsrgb"], z["default/bgu"], True))
    for name, small, target, full, published, gated in cases:
        exact = np.clip(oracle.guided_upsample(small, target, full, gated_prior=gated), 0, 1)
        ours = guided_upsample(small, target, full, gated_prior=gated)
        _, ours_max, ours_p, _ = row("", ours, exact, "")
        _, theirs_max, theirs_p, _ = row("", np.clip(published, 0, 1), exact, "")
        _, both_max, both_p, _ = row("", ours, np.clip(published, 0, 1), "")
        yield name, ours_max, ours_p, theirs_max, theirs_p, both_max, both_p


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in rows])


def main(options):
    vectors = options.shared / "reference" / "vectors"
    weights = options.shared / "reference" / "weights"
    if not vectors.is_dir():
        raise SystemExit(f"no reference material at {options.shared}; name it with --shared")
    load = lambda name: np.load(vectors / f"{name}.npz")  # noqa: E731
    pipelines = {name: load(name) for name in ("pipeline_style0", "pipeline_style1lut")}
    heads = ("what", "largest difference", "99.9th percentile", "demanded")
    text = "\n\n".join(
        [
            "### Operators\n\n" + table(heads, operators(load("stage_functions"))),
            "### Networks\n\n" + table(heads, networks(load("networks"), weights)),
            "### Halo fix\n\n" + table(heads, halo_fix(load("halo_fix"), weights)),
            "### White balance\n\n" + table(heads, white_balance(load("white_balance"), weights)),
            "### Raw in JPEG, and finished photos\n\n" + table(heads, files(load("raw_in_jpeg"), weights)),
            "### Whole pipeline\n\n"
            + table(
                heads,
                [
                    *pipeline(pipelines["pipeline_style0"], weights, "generic_lite", "style-0", "style-0"),
                    *pipeline(pipelines["pipeline_style1lut"], weights, "generic_base", "style-1-lut", "style-1"),
                ],
            ),
            "### Guided upsampling and its exact solution\n\n"
            + table(
                (
                    "case",
                    "ours - float64, max",
                    "p99.9",
                    "published - float64, max",
                    "p99.9",
                    "ours - published, max",
                    "p99.9",
                ),
                upsampling(load("bgu"), pipelines),
            ),
        ]
    )
    print(text)
    if options.write:
        page = PAGE.read_text()
        head, rest = page.split(BEGIN)
        PAGE.write_text(head + BEGIN + "\n\n" + text + "\n\n" + END + rest.split(END)[1])
        print(f"\nwritten to {PAGE}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
