"""The cameras that training draws from."""

from pathlib import Path

from modisp_jax.unprocess import generic_cameras, read_cameras


def cameras_of(tables):
    """Cameras of a folder with color_matrices_d65.tsv and noise_profiles.tsv; made-up ones where it is None."""
    if tables is None:
        return generic_cameras()
    return read_cameras(Path(tables) / "color_matrices_d65.tsv", Path(tables) / "noise_profiles.tsv")
