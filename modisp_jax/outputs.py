"""Which pictures photos become, and where; what would be lost or could not be written is refused before any work."""

import dataclasses
import os
from pathlib import Path

from modisp_jax.io.images import FORMATS


@dataclasses.dataclass(frozen=True)
class Job:
    """A photo and the pictures it becomes."""

    photo: Path
    targets: dict
    """Paths of its pictures by what their parameter set adds to the name."""
    name: str
    """What its pictures are called without extension, for the folders of stages."""
    replace: bool
    """Whether pictures that are there already are replaced."""
    label: str = ""
    """Begins the lines that are printed about it."""


def is_folder(output):
    """Whether ``--output`` is meant as a folder: it is one, or has no extension."""
    return output.is_dir() or not output.suffix


def job_of(photo, session, many, label):
    """The job of a photo of ``modisp render``."""
    options = session.options
    targets = {ending: _target(photo, options, many, ending) for ending in session.sets}
    named = options.output in targets.values()
    return Job(photo, targets, photo.stem, options.overwrite or named, label)


def _target(photo, options, many, ending):
    """The picture's path for a photo, its name with ``ending``. What can be known to fail later fails here."""
    target = target_of(photo, options.output, options.suffix, many=many, ending=ending)
    check_format(target, options)
    return target


def target_of(photo, output, suffix, *, many, ending="", formats=tuple(FORMATS)):
    """Where what is made of a photo goes; raises where that cannot be.

    Args:
      photo: its path.
      output: the path that was asked for, of a file or, for one or ``many`` photos, of a folder, which is made; None:
        beside the photo.
      suffix: extension, where ``output`` names none.
      many: whether there are other files to make.
      ending: what is added to the photo's name.
      formats: extensions that can be written.
    """
    if output is None:
        target = photo.with_suffix(suffix)
        target = target.with_stem(target.stem + ending)
    elif many or is_folder(output):
        output.mkdir(parents=True, exist_ok=True)
        target = output / (photo.stem + ending + suffix)
    else:
        target = output
    if target.suffix.lower() not in formats:
        raise ValueError(f"--output {output}: expected {'one of ' * (len(formats) > 1)}{', '.join(formats)}")
    if output is not None and not target.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {target.parent} does not exist")
    return target


def check_format(target, options):
    """Raises where the picture's format cannot hold what is asked for: ``--bits``, ``--embed-raw``."""
    if options.embed_raw and FORMATS[target.suffix.lower()] != "jpeg":
        raise ValueError(f"--embed-raw: expected a JPEG, got {target}")
    check_bits(target, options.bits)


def check_bits(target, bits):
    """Raises where the picture's format has no values of so many bits."""
    if bits == 16 and FORMATS[target.suffix.lower()] == "jpeg":
        raise ValueError(f"--bits 16: expected a PNG or TIFF, got {target}; a JPEG has 8 bits")


def refuse_existing(job):
    """Raises where a picture stands under a name that was derived from the photo's, or could not be written."""
    for target in job.targets.values():
        if target.exists() and not job.replace:
            raise ValueError(f"{target} exists; --overwrite replaces it")
        if target.is_dir():
            raise ValueError(f"{target} is a folder; choose another --output")
        if target.parent.is_dir() and not os.access(target.parent, os.W_OK):
            raise ValueError(f"{target}: expected a folder that can be written to; choose another --output")


def refuse_collisions(jobs, save_stages=None):
    """Raises before any work where a picture would replace a photo or another picture."""
    sources = {job.photo.resolve() for job in jobs}
    seen = {}
    for job in jobs:
        for ending, target in job.targets.items():
            places = [target.resolve()]
            if places[0] in sources:
                raise ValueError(f"{target} is itself one of the photos to render; choose another --output or --format")
            if save_stages is not None:
                places.append((save_stages / (job.name + ending)).resolve())
            for place in places:
                if place in seen:
                    photos = f"{job.photo} and {seen[place]}"
                    raise ValueError(f"{photos} would both become {place}; render them one at a time")
                seen[place] = job.photo
