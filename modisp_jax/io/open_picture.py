"""Pictures of unknown origin, opened without decoding: format by their first bytes, size checked, nothing leaks."""

import contextlib
import io
import warnings

from modisp_jax.io.limits import check_size
from modisp_jax.io.quiet import quiet

_PLUGINS = {
    b"\xff\xd8\xff": ("JpegImagePlugin", "JpegImageFile"),
    b"\x89PNG\r\n\x1a\n": ("PngImagePlugin", "PngImageFile"),
    b"II*\0": ("TiffImagePlugin", "TiffImageFile"),
    b"MM\0*": ("TiffImagePlugin", "TiffImageFile"),
}


class _File(io.BufferedReader):
    """A file of which no more is read than there is: Python makes room for all that is asked for, and files ask."""

    def __init__(self, raw):
        super().__init__(raw)
        self.size = self.seek(0, 2)
        self.seek(0)

    def read(self, count=-1):
        left = max(0, self.size - self.tell())
        return super().read(left if count is None or count < 0 else min(count, left))


@contextlib.contextmanager
def open_picture(path, error):
    """Yields a Pillow picture of the JPEG, PNG or TIFF at ``path``, not decoded yet.

    Pillow's own limit, 89 megapixels with a warning and 179 with an error, is not asked; ours is
    (:mod:`modisp_jax.io.limits`). Its warnings of damaged metadata are dropped.

    Raises:
      error: a picture of another format, too large, or damaged, also where that is found out within the block.
      OSError: the file cannot be read at all.
    """
    import importlib

    with _File(io.FileIO(path)) as file, quiet("PIL"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head = file.read(8)
        found = next((plugin for start, plugin in _PLUGINS.items() if head.startswith(start)), None)
        if found is None:
            raise error(f"{path}: expected a PNG, TIFF or JPEG picture, got: no picture that can be read")
        file.seek(0)
        try:
            module = importlib.import_module(f"PIL.{found[0]}")
            picture = getattr(module, found[1])(file)
            check_size(path, picture.size[1], picture.size[0], pixel_bytes=3, file_size=file.size, error=error)
            yield picture
        except (error, MemoryError):
            raise
        except Exception as cause:  # decoders raise classes of their own, and any of these on damaged data
            reason = " ".join(str(cause).split())[:200] or type(cause).__name__
            raise error(f"{path}: expected a whole PNG, TIFF or JPEG picture, got: {reason}") from None
