"""The command line: ``modisp render | edit | batch | eval | ...``; the commands are those of :data:`COMMANDS`.

Nothing heavy is imported before a command runs, so that ``--help`` is instant. Exit codes: 0 done, 2 bad input or
usage (one line on standard error for each file that failed), 130 interrupted.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, arg

from modisp_jax import __version__
from modisp_jax.cli_paramisp import blur, hdr, transfer, unrender
from modisp_jax.cli_render import batch, render


def evaluate(
    folder: Positional[Path | None] = None,
    /,
    *,
    pictures: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    targets: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    inputs: Annotated[str, arg(metavar="FOLDER")] = "raw_images",
    params: Annotated[str, arg(metavar="NAME|FILE")] = "default",
    style: Annotated[str | None, arg(metavar="NAME|FILE")] = None,
    clipped_highlights: Literal["neutral", "clip"] = "neutral",
    halo_fix: bool = False,
    small: bool = False,
    limit: int | None = None,
    lpips_vgg: Annotated[Path | None, arg(metavar="FILE")] = None,
    lpips_linear: Annotated[Path | None, arg(metavar="FILE")] = None,
    json: Annotated[Path | None, arg(metavar="FILE")] = None,
    sheet: Annotated[Path | None, arg(metavar="FILE")] = None,
    worst: int = 6,
    overwrite: bool = False,
) -> int:
    """Measure renderings, or finished pictures, against target pictures: PSNR, SSIM, dE2000, LPIPS.

    Give a FOLDER in the S24 layout (raw_images/, data/, srgb_images*/), whose raw photos are rendered, or two folders
    of finished pictures by --pictures and --targets, compared by name.

    Args:
        folder: A split in the S24 layout.
        pictures: Folder of finished pictures to measure instead.
        targets: Folder of target pictures; of a split, by default its only srgb_images*.
        inputs: Folder of the split to render, such as denoised_raw_images.
        params: Parameter set, as for render.
        style: Style, as for render, but not all.
        clipped_highlights: Make clipped highlights neutral, or clip as published.
        halo_fix: Refine the local tone maps against halos (slower).
        small: Measure photofinishing alone, at quarter size, with the targets shrunk likewise.
        limit: Measure only so many pictures, the first by name.
        lpips_vgg: VGG-16 of torchvision, for LPIPS.
        lpips_linear: Linear layers of LPIPS for VGG.
        json: Write the figures to this file after each picture, and go on from them when run again.
        sheet: Write the worst pictures to this PNG: input, rendering, target, difference.
        worst: How many of them.
        overwrite: Start anew where the JSON file has figures already.
    """
    from modisp_jax import evaluate

    options = evaluate.EvalOptions(
        folder=folder,
        pictures=pictures,
        targets=targets,
        inputs=inputs,
        params=params,
        style=style,
        clipped_highlights=clipped_highlights,
        halo_fix=halo_fix,
        small=small,
        limit=limit,
        lpips_vgg=lpips_vgg,
        lpips_linear=lpips_linear,
        json=json,
        sheet=sheet,
        worst=worst,
        overwrite=overwrite,
    )
    return evaluate.evaluate(options)


def styles(
    *,
    thumbnails: Annotated[Path | None, arg(metavar="PATH")] = None,
    photo: Annotated[Path | None, arg(metavar="FILE")] = None,
    params: Annotated[str, arg(metavar="NAME|FILE")] = "default",
    overwrite: bool = False,
) -> int:
    """List the styles, and render a small picture in each.

    Args:
        thumbnails: Contact sheet to write (.jpg, .png, .tif), or a folder for styles.jpg.
        photo: Raw file for the thumbnails. Default: the raw scene that the package synthesises itself.
        params: Parameter set whose denoiser is used, as for render.
        overwrite: Replace an existing styles.jpg.
    """
    from modisp_jax import contact_sheet

    if photo is not None and thumbnails is None:
        raise ValueError("--photo: expected --thumbnails with it, a contact sheet to write")
    return contact_sheet.show_styles(thumbnails, photo, params=params, overwrite=overwrite)


def bench(
    *,
    sizes: Annotated[tuple[str, ...], arg(metavar="HxW")] = ("3000x4000",),
    variants: Annotated[tuple[str, ...], arg(metavar="NAME")] = ("lite",),
    activations: Annotated[tuple[str, ...], arg(metavar="DTYPE")] = ("float32",),
    halo_fix: bool = False,
    repeats: int = 3,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE")] = None,
) -> int:
    """Measure how long rendering takes here and how much memory, by stage, and against what the machine could do.

    Args:
        sizes: Heights and widths of the photos.
        variants: Denoisers: lite, base, large.
        activations: How images between blocks are stored: float32, bfloat16.
        halo_fix: Also refine the local tone maps against halos.
        repeats: Timed runs of each program, after one that does not count.
        output: Also write the figures to this JSON file, with the machine's description.
    """
    from modisp_jax import bench

    if repeats < 1:
        raise ValueError(f"--repeats: expected at least 1, got {repeats}")
    return bench.bench(sizes, variants, activations, halo_fix=halo_fix, repeats=repeats, output=output)


def info(files: Positional[tuple[Path, ...]], /, *, json: bool = False) -> int:
    """Say what raw files, parameter files and published checkpoints hold.

    Args:
        files: Raw photos, .safetensors of this package, or published .pth checkpoints.
        json: Print JSON, one object a file.
    """
    from modisp_jax import describe

    return describe.print_files(files, as_json=json)


def import_torch(
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    denoiser: Path | None = None,
    photofinishing: Path | None = None,
    enhancement: Path | None = None,
    cross_camera: Path | None = None,
    camera_specific: Path | None = None,
    camera_specific_config: Path | None = None,
    preference: Path | None = None,
    raw_adapter: Path | None = None,
    cie_xyz: Path | None = None,
    name: str | None = None,
    license: str = "CC BY-NC 4.0 (Samsung Electronics, 2025)",
) -> int:
    """Convert published PyTorch checkpoints to one safetensors file and write its card beside it.

    Needs no PyTorch and runs nothing that the files contain.

    Args:
        output: File to write, NAME.safetensors; the card goes to NAME.md.
        denoiser: Checkpoint of the denoiser (lite, base or large).
        photofinishing: Checkpoint of a photofinishing style.
        enhancement: Checkpoint of the detail enhancement.
        cross_camera: Checkpoint of the cross-camera white balance.
        camera_specific: Checkpoint of a camera-specific white balance.
        camera_specific_config: Its JSON, with the ranges of its inputs.
        preference: Checkpoint of the white-balance preference.
        raw_adapter: Checkpoint of a raw-in-JPEG adapter.
        cie_xyz: Checkpoint of the CIE XYZ net, which linearises finished photos.
        name: What the card calls the set; default: the output's name.
        license: Licence of the weights, for the card.
    """
    from modisp_jax import describe

    sources = {
        "denoiser": denoiser,
        "photofinishing": photofinishing,
        "enhancement": enhancement,
        "cross_camera": cross_camera,
        "camera_specific": camera_specific,
        "camera_specific_config": camera_specific_config,
        "preference": preference,
        "raw_adapter": raw_adapter,
        "cie_xyz": cie_xyz,
    }
    return describe.import_and_save(output, sources, name=name or output.stem, license=license)


def fit(
    folder: Positional[Path],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    targets: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    unpaired: Annotated[Path | None, arg(metavar="FOLDER")] = None,
    style: Annotated[str, arg(metavar="NAME|FILE")] = "natural",
    stages: Annotated[tuple[str, ...], arg(metavar="NAME")] = ("photofinish",),
    rgb_lut: bool = True,
    steps: int = 120,
    size: int = 128,
    validation: float = 0.2,
    seed: int = 0,
    state: Annotated[Path | None, arg(metavar="FOLDER")] = None,
) -> int:
    """Fit a style to a few raw photos and how they were finished.

    Raw photos and pictures are paired by name: side by side in FOLDER (a.dng, a.jpg), with the pictures in --targets,
    or in the S24 layout. What comes out is a file for --style of the other commands. Ctrl-C saves; the same command
    goes on.

    Args:
        folder: Raw photos, and the finished pictures unless --targets says where they are.
        output: Style file to write, NAME.safetensors.
        targets: Folder of the finished pictures.
        unpaired: Folder of ordinary photos of any look, of which further pairs are made: they make the start better in
            the mean, most with few pairs (docs/semi.md).
        style: Style to start from: its networks are fitted, its enhancement is taken over.
        stages: What to train: photofinish (all), or some of gain, gtm, ltm, rgb_lut, chroma, gamma.
        rgb_lut: Add the colour LUT where the style has none.
        steps: Training steps after the start in closed form; 0 for that alone.
        size: Long side in pixels at which pictures are compared.
        validation: Share of the pairs kept for choosing the best weights.
        seed: Decides which pairs are kept, their order and variation.
        state: Where an interrupted fit is kept; default: NAME.fit, removed at the end.
    """
    from modisp_jax import fit_files

    if size < 22:
        raise ValueError(f"--size: expected at least 22 pixels, got {size}")
    if steps < 0:
        raise ValueError(f"--steps: expected 0 or more, got {steps}")
    if not 0.0 <= validation < 1.0:
        raise ValueError(f"--validation: expected 0 to under 1, got {validation}")
    options = fit_files.FitOptions(
        folder=folder,
        output=output,
        targets=targets,
        style=style,
        stages=stages,
        rgb_lut=rgb_lut,
        steps=steps,
        size=size,
        validation=validation,
        seed=seed,
        state=state,
        unpaired=unpaired,
    )
    return fit_files.fit_folder(options)


def export_cube(
    photo: Positional[Path],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    params: Annotated[str, arg(metavar="NAME|FILE")] = "default",
    style: Annotated[str | None, arg(metavar="NAME|FILE")] = None,
    nodes: int = 33,
    encoding: Literal["srgb", "linear"] = "srgb",
) -> int:
    """Export the global part of a style's look for a photo as a .cube 3D LUT, for other software.

    Args:
        photo: Raw photo for which the style's networks choose the look.
        output: File to write, NAME.cube.
        params: Parameter set, as for render.
        style: Style, as for render, but not all.
        nodes: Nodes a side, 2 to 256.
        encoding: How the other software encodes the linear sRGB that it feeds the table.
    """
    from modisp_jax import export_cube

    if not 2 <= nodes <= 256:
        raise ValueError(f"--nodes: expected 2 to 256, got {nodes}")
    return export_cube.export_cube(photo, output, params=params, style=style, nodes=nodes, encoding=encoding)


def edit(
    photos: Positional[tuple[Path, ...]] = (),
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER")] = None,
    params: Annotated[str, arg(metavar="NAME|FILE")] = "default",
    style: UseAppendAction[Annotated[tuple[Path, ...], arg(metavar="FILE")]] = (),
    awb: Annotated[Path | None, arg(metavar="FILE")] = None,
    port: int = 0,
    browser: bool = True,
) -> int:
    """Edit photos in the browser: every stage under a slider.

    Serves a page to this machine alone, prints its address and opens the browser. Ctrl-C ends it.

    Args:
        photos: Photos of any kind that render takes, and folders of such. More are opened or dropped in the page.
        output: Folder for exported pictures. Default: beside each photo.
        params: Parameter set, as for render.
        style: A style of your own to offer beside those that ship: a parameter file, or a style file (.json), which
            becomes a preset. May be given several times.
        awb: Parameter file with white-balance networks.
        port: Port of this machine to listen on; 0 takes one that is free.
        browser: Open the browser.
    """
    try:
        from modisp_jax.web import start
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("fastapi", "uvicorn", "starlette"):
            raise
        raise ValueError(f"edit: needs {error.name}, which is not installed: pip install 'modisp_jax[web]'") from None
    return start.edit(photos, output=output, params=params, style=style, awb=awb, port=port, browser=browser)


COMMANDS = {
    "render": render,
    "edit": edit,
    "batch": batch,
    "eval": evaluate,
    "styles": styles,
    "bench": bench,
    "fit": fit,
    "export-cube": export_cube,
    "unrender": unrender,
    "hdr": hdr,
    "transfer": transfer,
    "blur": blur,
    "info": info,
    "import-torch": import_torch,
}


def main(arguments=None):
    """Entry point of the ``modisp`` program; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments in (["--version"], ["-V"]):
        print(f"modisp {__version__}")
        return 0
    description = "A modular neural image signal processor: from a camera's raw photo to a finished picture."
    try:
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="modisp", description=description, args=arguments)
    except ValueError as error:
        return fail(error)
    except BrokenPipeError:  # whoever read our output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        return fail(f"{error.filename}: {reason}" if error.filename else reason)
    except KeyboardInterrupt:
        print("modisp: interrupted", file=sys.stderr)
        return 130


def fail(message):
    """Prints one line on standard error; returns exit code 2."""
    print("modisp: error: " + " ".join(str(message).split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
