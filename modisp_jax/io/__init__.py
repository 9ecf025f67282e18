"""Files in and out, in NumPy: camera raw files, DNG colour, finished pictures, a synthetic raw photo.

Importing this package, or any module of it, imports neither JAX nor rawpy, tifffile, Pillow or imagecodecs: those come
with the first call that needs them.
"""
