"""Static facts of the system: sizes, variants, options. All are frozen, hashable and validated."""

import dataclasses


def _check(condition, message):
    if not condition:
        raise ValueError(message)


@dataclasses.dataclass(frozen=True)
class NAFNetConfig:
    """Shape of a NAFNet: the denoiser and the detail enhancement (paper sections C.1, C.7)."""

    width: int
    """Channels at full resolution; they double with each level."""
    encoder_blocks: tuple[int, ...] = (2, 2, 4, 8)
    """Blocks on each encoder level, from full resolution down."""
    middle_blocks: int = 4
    """Blocks at the coarsest resolution."""
    decoder_blocks: tuple[int, ...] = (2, 2, 2, 2)
    """Blocks on each decoder level, from the coarsest up."""

    def __post_init__(self):
        _check(self.width >= 1, f"width: expected at least 1, got {self.width}")
        _check(self.width <= 4096, f"width: expected up to 4096, got {self.width}")
        blocks = (*self.encoder_blocks, self.middle_blocks, *self.decoder_blocks)
        _check(max(blocks) <= 64, f"expected up to 64 blocks on a level, got {max(blocks)}")
        _check(len(self.encoder_blocks) <= 8, f"expected up to 8 levels, got {len(self.encoder_blocks)}")
        _check(
            len(self.encoder_blocks) == len(self.decoder_blocks),
            f"expected equal levels of encoder and decoder, got {self.encoder_blocks} and {self.decoder_blocks}",
        )

    @property
    def levels(self):
        """How often the resolution is halved."""
        return len(self.encoder_blocks)


DENOISERS = {"lite": NAFNetConfig(4), "base": NAFNetConfig(8), "large": NAFNetConfig(16)}
"""The published denoiser sizes: 245,223, 932,683 and 3,634,323 parameters."""

ENHANCEMENT = NAFNetConfig(8, (2, 2), 4, (2, 2))
"""The published detail enhancement: 50,635 parameters."""

CHROMA_LUT_AXES = ("cbcr", "crcb")
GRID_INPUTS = (384, 192, 128)


@dataclasses.dataclass(frozen=True)
class PhotofinishConfig:
    """Variant of the photofinishing networks (paper sections C.3 to C.6)."""

    rgb_lut: bool = False
    """Whether there is a learned 11^3 colour LUT between local tone mapping and chroma mapping."""
    chroma_lut_axes: str = "cbcr"
    """Axis order of the map that the chroma network predicts. ``cbcr``: as its histogram. ``crcb``: as in the
    published checkpoints, which build histogram and LUT with Cb first but look the LUT up with Cr first."""
    grid_input: int = 384
    """Side in pixels of what the grid network of local tone mapping sees. 384 as published; 192 and 128 average that
    image over 2 x 2 and 3 x 3 pixels first, for a quarter and a ninth of the network's cost."""

    def __post_init__(self):
        _check(
            self.chroma_lut_axes in CHROMA_LUT_AXES,
            f"chroma_lut_axes: expected one of {CHROMA_LUT_AXES}, got {self.chroma_lut_axes!r}",
        )
        _check(self.grid_input in GRID_INPUTS, f"grid_input: expected one of {GRID_INPUTS}, got {self.grid_input!r}")


@dataclasses.dataclass(frozen=True)
class ParamISPConfig:
    """Shape and reading of ParamISP's networks (arXiv 2312.13313).

    The defaults are the paper's reading. Where the released code does otherwise a field says so; ``RELEASED_PARAMISP``
    has all of the code's. Those of ``PARAMISP_READINGS`` do not show in the parameters' shapes: a file's card has them.
    """

    width: int = 64
    """Channels of LocalNet and GlobalNet."""
    embedding: int = 64
    """Length of what ParamNet makes of the exposure data."""
    blocks: int = 2
    """Blocks of LocalNet at each of its five places."""
    stages: int = 4
    """Stages of GlobalNet, each a quadratic and a curve."""
    steered: bool = True
    """Whether there is a ParamNet; without one the networks see pixels alone."""
    equalized: bool = True
    """Whether ParamNet sees 15 functions of each parameter, or only the parameter divided by its usual largest."""
    color_metadata: bool = False
    """Whether ParamNet also sees white balance and colour matrix. Code: yes."""
    camera_id: bool = False
    """Whether ParamNet has a layer for a camera's number, which it multiplies by 0. Code: yes."""
    mask_start: float = 0.9
    """Value at which the over-exposure mask begins to rise; it is 1 at 1. Code: .95."""
    shared_mask: bool = False
    """Whether the second network sees the mask of the first one's input rather than its own. Code: yes."""
    histograms: tuple[int, ...] = (28,)
    """Bins of the soft histograms, 28 in all. Code: three histograms of 4, 8 and 16."""
    unit_sinusoids: bool = True
    """Whether sines and cosines of the exposure data are brought to [0, 1]. Code: no."""
    residual: bool = False
    """Whether a stage's quadratic is added to its input rather than taken for it. Code: yes."""
    bounded: bool = False
    """Whether GlobalNet's coefficients and its embedding pass ELUs. Code: yes."""
    clip_balanced: bool = False
    """Whether raw values are clipped to [0, 1] between white balance and colour matrix. Code: yes."""

    def __post_init__(self):
        for name, low, high in (("width", 2, 512), ("embedding", 1, 512), ("blocks", 0, 16), ("stages", 0, 16)):
            value = getattr(self, name)
            _check(low <= value <= high, f"{name}: expected {low} to {high}, got {value}")
        _check(self.width % 2 == 0, f"width: expected an even number, got {self.width}")
        _check(0.0 <= self.mask_start < 1.0, f"mask_start: expected a value in [0, 1), got {self.mask_start}")
        bins = self.histograms
        is_bins = bool(bins) and min(bins) >= 2 and sum(bins) == 28
        _check(is_bins, f"histograms: expected numbers of bins, at least 2 each and 28 in all, got {bins}")


PARAMISP_READINGS = (
    "mask_start",
    "shared_mask",
    "histograms",
    "unit_sinusoids",
    "residual",
    "bounded",
    "clip_balanced",
)
"""Fields of :class:`ParamISPConfig` that parameters alone do not tell."""

RELEASED_PARAMISP = ParamISPConfig(
    color_metadata=True,
    camera_id=True,
    mask_start=0.95,
    shared_mask=True,
    histograms=(4, 8, 16),
    unit_sinusoids=False,
    residual=True,
    bounded=True,
    clip_balanced=True,
)
"""The released code's reading: 710,973 parameters. The paper's has 708,285."""

WINDOWS = ("window", "rival")


@dataclasses.dataclass(frozen=True)
class FunctionISPConfig:
    """Shape and reading of the function ISP: closed forms whose parameters a network predicts (SemiISP).

    Neither ``resize``, ``window`` nor ``xyz`` shows in the parameters' shapes: a file's card has them.
    """

    enhance: bool = False
    """Whether inverse tone mapping comes first: for pictures, such as dark ones, in place of raw photos."""
    resize: int = 256
    """Side in pixels to which the network shrinks an image; its map of parameters has a 32nd of it a side."""
    window: str = "window"
    """How the equations of gain and contrast are read, see ``dynamicisp.functions.window``."""
    xyz: bool = False
    """Whether images are CIE XYZ, so that colour correction starts from the matrix to sRGB."""

    def __post_init__(self):
        _check(self.window in WINDOWS, f"window: expected one of {WINDOWS}, got {self.window!r}")
        is_side = self.resize >= 32 and self.resize % 32 == 0
        _check(is_side, f"resize: expected a multiple of 32, got {self.resize}")


FUNCTION_ISP = FunctionISPConfig()
"""The defaults: raw photos."""

FUNCTION_ISP_READINGS = ("resize", "window", "xyz")
"""Fields of :class:`FunctionISPConfig` that parameters alone do not tell."""

AWB_NETWORKS = ("cross_camera", "camera_specific", "preference")
"""The networks of automatic white balance, by their names in ``params["awb"]``."""


IO_NETWORKS = ("raw_adapter", "cie_xyz")
"""The networks of files, by their names in ``params["io"]``: raw inside the JPEG, and finished photos to XYZ."""


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """Which networks a parameter set holds; None where it lacks one. Rendering needs photofinishing."""

    denoise: NAFNetConfig | None = DENOISERS["lite"]
    photofinish: PhotofinishConfig | None = PhotofinishConfig()
    enhance: NAFNetConfig | None = ENHANCEMENT
    awb: tuple[str, ...] = ()
    """Networks of automatic white balance, of :data:`AWB_NETWORKS` and in that order. Rendering does not use them."""
    io: tuple[str, ...] = ()
    """Networks of files, of :data:`IO_NETWORKS` and in that order. Rendering does not use them."""
    inverse_isp: ParamISPConfig | None = None
    """ParamISP from sRGB to raw. Rendering does not use it."""
    forward_isp: ParamISPConfig | None = None
    """ParamISP from raw to sRGB. Rendering does not use it."""
    function_isp: FunctionISPConfig | None = None
    """The network of the function ISP. Rendering does not use it."""
    lut3d: bool = False
    """The network of an image-adaptive look-up table. Rendering does not use it."""

    def __post_init__(self):
        for name, known in (("awb", AWB_NETWORKS), ("io", IO_NETWORKS)):
            got = getattr(self, name)
            is_known = isinstance(got, tuple) and got == tuple(n for n in known if n in got)
            _check(is_known, f"{name}: expected a tuple of {known} in that order, got {got!r}")


@dataclasses.dataclass(frozen=True)
class HaloFixConfig:
    """Local tone maps, averaged over scales, refined by the bilateral solver (paper section B.1).

    The defaults are ours, of one scale and twice the iterations: they leave less of the halos than the published ones
    (``PUBLISHED_HALO_FIX``) and change the picture less, see docs/halo_fix.md.
    """

    scales: tuple[int, ...] = (1,)
    """Divisors of the small image's size. Scales with a side under 12 pixels are left out, but never the first."""
    iterations: int = 160
    """Iterations of the bilateral solver."""
    window: int = 7
    """Side of the solver's window in pixels, odd."""
    sigma_space: float = 3.0
    """Spatial standard deviation in pixels."""
    sigma_range: float = 0.008
    """Standard deviation of the guide's luma, on [0, 1]."""
    fidelity: float = 5e-4
    """Weight of the unrefined maps."""
    relaxation: float = 1.6
    """Over-relaxation factor in (0, 2)."""

    def __post_init__(self):
        _check(bool(self.scales) and min(self.scales) >= 1, f"scales: expected divisors >= 1, got {self.scales}")
        _check(self.iterations >= 0, f"iterations: expected 0 or more, got {self.iterations}")
        _check(self.window % 2 == 1, f"window: expected an odd size, got {self.window}")


PUBLISHED_HALO_FIX = HaloFixConfig(
    scales=(1, 2, 4, 8, 16),
    iterations=80,
    window=7,
    sigma_space=3.0,
    sigma_range=0.008,
    fidelity=5e-4,
    relaxation=1.6,
)
"""As the paper's system has it; coarse scales blur the maps over edges, which the solver then has to undo."""

EDIT_RANGES = {
    **dict.fromkeys(("denoise", "gain", "gtm", "ltm", "rgb_lut", "chroma", "gamma", "enhance"), (0.0, 1.0)),
    **dict.fromkeys(("auto_exposure", "luma_denoise", "chroma_denoise"), (0.0, 1.0)),
    **dict.fromkeys(("contrast", "highlights", "shadows", "vibrance", "saturation"), (-1.0, 1.0)),
    "exposure": (-4.0, 4.0),
    "sharpening": (0.0, 50.0),
    "rotation": (-45.0, 45.0),
}
"""Range of each slider and strength of ``Edits``, for those who take numbers from people and files."""

HIGHLIGHTS = ("neutral", "clip")
OPERATORS = ("smooth", "published")
ACTIVATIONS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class RenderConfig:
    """Static options of a rendering."""

    clipped_highlights: str = "neutral"
    """``neutral``: clipped sensor values come out colourless. ``clip``: the published behaviour, clip to [0, 1]
    after the colour matrix, which leaves clipped skies pink."""
    halo_fix: HaloFixConfig | None = None
    """Refine the local tone maps against halos; slower."""
    operators: str = "smooth"
    """What the sliders of ``Edits`` do. ``smooth``: our operators, which keep hue, have no steps and are monotone.
    ``published``: those of the paper's editor."""
    activations: str = "float32"
    """How the denoiser and the enhancement store images between blocks. ``bfloat16`` halves that memory and rounds
    them to 8 bits."""

    def __post_init__(self):
        _check(
            self.clipped_highlights in HIGHLIGHTS,
            f"clipped_highlights: expected one of {HIGHLIGHTS}, got {self.clipped_highlights!r}",
        )
        _check(self.operators in OPERATORS, f"operators: expected one of {OPERATORS}, got {self.operators!r}")
        _check(self.activations in ACTIVATIONS, f"activations: expected one of {ACTIVATIONS}, got {self.activations!r}")
