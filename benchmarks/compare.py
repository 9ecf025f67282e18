"""How much do two pictures differ? Compared at the size of the smaller, in steps of 8 bits.

python benchmarks/compare.py ours.jpg ../shared/reference/looks/GOPR0024_published_style0.jpg
"""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image


def compare(ours: tyro.conf.Positional[Path], theirs: tyro.conf.Positional[Path]):
    """Prints median and quantiles of the largest channel difference of each pixel, and the mean of each channel.

    Args:
        ours: A picture.
        theirs: Another picture of the same scene and orientation.
    """
    pictures = [Image.open(path).convert("RGB") for path in (ours, theirs)]
    size = min((picture.size for picture in pictures), key=lambda size: size[0])
    a, b = (np.asarray(picture.resize(size, Image.Resampling.BOX), np.float64) for picture in pictures)
    largest = np.abs(a - b).max(axis=-1)
    print(f"{size[0]} x {size[1]}: median {np.median(largest):.0f}, p90 {np.percentile(largest, 90):.0f}", end=", ")
    print(f"over 16: {100 * np.mean(largest > 16):.1f} %, mean R G B {np.round((a - b).mean(axis=(0, 1)), 1)}")


if __name__ == "__main__":
    tyro.cli(compare, description=__doc__)
