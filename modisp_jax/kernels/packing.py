"""Arrays behind one another in a vector, and taken apart again, on CPUs: ``fit/vectors.py``.

Each is a copy of memory, for which XLA would compile a loop.
"""

import itertools
import math

import jax
import numpy as np

from modisp_jax.kernels import xla


def pack(*arrays):
    """All numbers of float32 arrays as one vector, within a JAX program on the CPU; not differentiable."""
    size = sum(math.prod(array.shape) for array in arrays)
    return xla.call("modisp_pack", jax.ShapeDtypeStruct((size,), np.float32), *arrays, batched=True)


def unpack(vector, shapes):
    """A list of arrays of these shapes, which follow one another in a float32 vector."""
    results = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    return xla.call("modisp_unpack", results, vector, batched=True)


def _pack(*buffers):
    *arrays, out = buffers
    lead = out.ndim - 1
    for array, part in zip(arrays, _parts(out, [array.shape[lead:] for array in arrays]), strict=True):
        part[...] = array.reshape(*array.shape[:lead], -1)


xla.register("modisp_pack", _pack)


def _unpack(vector, *arrays):
    lead = vector.ndim - 1
    for array, part in zip(arrays, _parts(vector, [array.shape[lead:] for array in arrays]), strict=True):
        array[...] = part.reshape(array.shape)


xla.register("modisp_unpack", _unpack)


def _parts(vector, shapes):
    """The parts of (a batch of) a vector that arrays of these shapes have."""
    ends = itertools.accumulate(math.prod(shape) for shape in shapes)
    return (vector[..., start:end] for start, end in itertools.pairwise([0, *ends]))
