"""The commands that render, ``modisp render`` and ``modisp batch``; nothing heavy is imported before they run."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from modisp_jax.cli_options import (
    FORMATS,
    EditOptions,
    RenderingOptions,
    StrengthOptions,
    WhiteBalanceOptions,
    check_light,
    given_edits,
)


def render(
    photos: Positional[tuple[Path, ...]] = (),
    /,
    *,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="PATH")] = None,
    overwrite: bool = False,
    smooth_looks: Literal["window", "exponential"] | None = None,
    smooth_frames: int = 9,
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions(),
    edits: Annotated[EditOptions, arg(name="")] = EditOptions(),
    strengths: Annotated[StrengthOptions, arg(name="strength")] = StrengthOptions(),
    light: Annotated[WhiteBalanceOptions, arg(name="")] = WhiteBalanceOptions(),
) -> int:
    """Render raw photos to finished pictures.

    With no photo given, renders a raw scene that the package synthesises itself, and keeps its DNG beside the picture.

    Args:
        photos: Raw files of any camera that LibRaw reads, folders of such, 16-bit PNGs in the S24 layout, JPEGs that
            carry their raw, or finished photos.
        output: Picture to write (.jpg, .png, .tif), or a folder for one or many. Default: beside each photo.
        overwrite: Replace existing pictures whose names were derived from the photos'.
        smooth_looks: Take the photos for frames of a sequence, and smooth their looks over time.
        smooth_frames: Over how many frames: the window's length, or the exponential's time constant.
        rendering: How they are rendered and stored.
        edits: A person's edits.
        strengths: Strengths of the stages.
        light: The light that is made white.
    """
    if smooth_frames < 1:
        raise ValueError(f"--smooth-frames: expected at least 1, got {smooth_frames}")
    sequence = {"smooth_looks": smooth_looks, "smooth_frames": smooth_frames}
    options = _render_options(rendering, edits, strengths, light, output=output, overwrite=overwrite, **sequence)
    is_file_name = output is not None and output.suffix and not output.is_dir()
    if is_file_name and (len(photos) > 1 or rendering.style == "all" or any(photo.is_dir() for photo in photos)):
        pictures = f"{len(photos)} photos" if len(photos) > 1 else "pictures in all styles"
        raise ValueError(f"--output: expected a folder for {pictures}, got the file name {output}")
    from modisp_jax import render_files

    return render_files.render_photos(photos, options)


def batch(
    photos: Positional[tuple[str, ...]],
    /,
    *,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recursive: Annotated[bool, arg(aliases=["-r"])] = False,
    processes: Annotated[int | None, arg(aliases=["-p"], metavar="NUMBER", help_behavior_hint="")] = None,
    ray: Annotated[tuple[str, ...] | None, arg(metavar="[ADDRESS]", help_behavior_hint="")] = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions(),
    edits: Annotated[EditOptions, arg(name="")] = EditOptions(),
    strengths: Annotated[StrengthOptions, arg(name="strength")] = StrengthOptions(),
    light: Annotated[WhiteBalanceOptions, arg(name="")] = WhiteBalanceOptions(),
) -> int:
    """Render many raw photos into a folder, by several processes or a cluster; the same command goes on after a stop.

    What is done is kept in the folder's manifest, modisp_batch.jsonl. A photo that fails is reported at the end and
    the rest goes on.

    Args:
        photos: Raw files, folders of such, or patterns such as "shots/*.dng" and "shots/**/*.dng".
        output: Folder for the pictures and the manifest.
        recursive: Take the folders' subfolders too, and make the same ones in the output.
        processes: Processes that render, a photo each at a time. Default: 1; with --ray, one for each GPU of the
            cluster, or one for each machine where it has none.
        ray: Let actors of Ray render: on the cluster at ADDRESS, by default $RAY_ADDRESS, else on this machine.
        retry_failed: Render again what an earlier run has reported as failed.
        overwrite: Replace pictures that are there, and begin a finished or different batch in the folder anew.
        rendering: How they are rendered and stored.
        edits: A person's edits.
        strengths: Strengths of the stages.
        light: The light that is made white.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"--processes: expected at least 1, got {processes}")
    if ray is not None and len(ray) > 1:
        raise ValueError(f"--ray: expected one address at most, got {', '.join(ray)}; photos go before it")
    if not photos:
        raise ValueError("batch: expected at least one photo, folder or pattern")
    _check(rendering, light)
    if ray is not None:
        from modisp_jax.batch.ray_cluster import connect

        connect(ray)  # before JAX is imported, see there
    options = _render_options(rendering, edits, strengths, light, output=output, overwrite=overwrite)
    from modisp_jax.batch import driver

    return driver.run(
        photos,
        options,
        recursive=recursive,
        processes=processes,
        on_ray=ray is not None,
        retry_failed=retry_failed,
    )


def _check(rendering, light):
    """Raises where an option cannot be, as far as that takes no other module."""
    if not 1 <= rendering.quality <= 100:
        raise ValueError(f"--quality: expected 1 to 100, got {rendering.quality}")
    if not 1 <= rendering.raw_quality <= 100:
        raise ValueError(f"--raw-quality: expected 1 to 100, got {rendering.raw_quality}")
    if rendering.halo_iterations < 1:
        raise ValueError(f"--halo-iterations: expected at least 1, got {rendering.halo_iterations}")
    check_light(light)


def _render_options(rendering, edits, strengths, light, *, output, overwrite, smooth_looks=None, smooth_frames=9):
    """The options of both commands, checked, as the renderer takes them."""
    _check(rendering, light)
    edits = given_edits(edits, strengths)
    from modisp_jax.render_files import PICKED, RenderOptions

    return RenderOptions(
        output=output,
        suffix=FORMATS[rendering.format],
        params=rendering.params,
        style=rendering.style,
        edits=edits,
        white_balance=light.white_balance,
        awb=light.awb,
        cct=light.cct,
        tint=light.tint,
        clipped_highlights=rendering.clipped_highlights,
        halo_fix=rendering.halo_fix,
        halo_iterations=rendering.halo_iterations,
        operators=rendering.operators,
        smooth_looks=smooth_looks,
        smooth_frames=smooth_frames,
        activations=rendering.activations,
        demosaic=rendering.demosaic,
        quality=rendering.quality,
        bits=rendering.bits,
        orientation=rendering.orientation,
        save_stages=rendering.save_stages,
        embed_raw=rendering.embed_raw,
        raw_codec=rendering.raw_codec,
        raw_quality=rendering.raw_quality,
        linearize=rendering.linearize,
        networks=rendering.networks,
        stored_settings=rendering.stored_settings,
        overwrite=overwrite,
        light=None if light.illuminant is None else (PICKED, light.illuminant),
    )
