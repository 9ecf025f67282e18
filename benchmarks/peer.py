"""What plain PyTorch needs for the two costliest parts: a NAFNet, and the halo fix's bilateral solver.

Written as one straightforwardly would: modules, NCHW, float32, no compilation. It imports nothing of this package and
runs in a process of its own, so that the peak of memory is PyTorch's alone. Prints one JSON object.

    python benchmarks/peer.py nafnet --params enhance.npz --config '{"width": 8, "encoder_blocks": [2, 2],
        "middle_blocks": 4, "decoder_blocks": [2, 2]}' --size 3000x4000
    python benchmarks/peer.py solver --size 750x1000
"""

import argparse
import json
import re
import resource
import statistics
import time

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError as error:
    raise SystemExit(f"benchmarks/peer.py: {error}. Run: pip install modisp_jax[torch]") from None


class LayerNorm2d(nn.Module):
    """Normalises each pixel of [N, C, H, W] over its channels, then scales and shifts."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        x = x - x.mean(1, keepdim=True)
        x = x / torch.sqrt(x.square().mean(1, keepdim=True) + 1e-5)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class NAFBlock(nn.Module):
    """Spatial mixing with channel attention, then channel mixing, on [N, C, H, W]."""

    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm2d(c), LayerNorm2d(c)
        self.expand1, self.expand2 = nn.Conv2d(c, 2 * c, 1), nn.Conv2d(c, 2 * c, 1)
        self.depthwise = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.attention, self.project1, self.project2 = (nn.Conv2d(c, c, 1) for _ in range(3))
        self.beta, self.gamma = nn.Parameter(torch.zeros(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x):
        y = gate(self.depthwise(self.expand1(self.norm1(x))))
        y = self.project1(y * self.attention(y.mean((2, 3), keepdim=True)))
        x = x + self.beta[:, None, None] * y
        y = self.project2(gate(self.expand2(self.norm2(x))))
        return x + self.gamma[:, None, None] * y


def gate(x):
    """Multiplies one half of the channels by the other: [N, 2 C, H, W] to [N, C, H, W]."""
    a, b = x.chunk(2, dim=1)
    return a * b


class NAFNet(nn.Module):
    """Restores images [N, 3, H, W] of any size; its arguments are the fields of ``modisp_jax.config.NAFNetConfig``."""

    def __init__(self, width, encoder_blocks=(2, 2, 4, 8), middle_blocks=4, decoder_blocks=(2, 2, 2, 2)):
        super().__init__()
        blocks = lambda c, count: nn.Sequential(*(NAFBlock(c) for _ in range(count)))  # noqa: E731
        widths = [width * 2**level for level in range(len(encoder_blocks))]
        self.in_conv, self.out_conv = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.encoder = nn.ModuleList(map(blocks, widths, encoder_blocks))
        self.down = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, stride=2) for c in widths)
        self.middle = blocks(width * 2 ** len(widths), middle_blocks)
        self.up = nn.ModuleList(nn.Conv2d(2 * c, 4 * c, 1, bias=False) for c in reversed(widths))
        self.decoder = nn.ModuleList(map(blocks, reversed(widths), decoder_blocks))

    def forward(self, image):
        h, w = image.shape[2:]
        step = 2 ** len(self.encoder)
        padded = F.pad(image, (0, -w % step, 0, -h % step))
        x, skips = self.in_conv(padded), []
        for encoder, down in zip(self.encoder, self.down, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        x = self.middle(x)
        for up, decoder in zip(self.up, self.decoder, strict=True):
            x = decoder(F.pixel_shuffle(up(x), 2) + skips.pop())
        return (padded + self.out_conv(x))[:, :, :h, :w]


def state_dict(params):
    """Turns our parameters, arrays by path as ``encoder0_block1/expand1/kernel``, into those of :class:`NAFNet`."""
    state = {}
    for path, array in params.items():
        name = re.sub(r"^(encoder|decoder|down|up)(\d+)", r"\1.\2", path).replace("_block", ".")
        name = re.sub(r"kernel|scale", "weight", name.replace("/expand/", "/")).replace("/", ".")
        if array.ndim > 2:  # HWIO to OIHW; depthwise kernels [3, 3, C] have I = 1
            array = array.reshape(*array.shape[:2], -1, array.shape[-1]).transpose(3, 2, 0, 1)
        state[name] = torch.tensor(array)
    return state


def bilateral_solve(
    target, guide, window=7, sigma_space=3.0, sigma_range=0.01, fidelity=1e-3, relaxation=1.6, iterations=80
):
    """Smooths ``target`` [1, C, H, W] where the luma of ``guide`` [1, 3, H, W] is alike; sides over ``window // 2``.

    ``y <- y + relaxation ((fidelity m + W y) / (fidelity + 1) - y)`` from ``y = m``, the border mirrored.
    """
    _, channels, h, w = target.shape
    luma = 0.2989 * guide[:, 0:1] + 0.5870 * guide[:, 1:2] + 0.1140 * guide[:, 2:3]
    offset = torch.arange(window, device=guide.device) - window // 2
    distance = (offset[:, None] ** 2 + offset**2).reshape(1, 1, -1, 1)
    difference = neighbours(luma, window) - luma.reshape(1, 1, 1, h * w)
    weights = torch.exp(-distance / (2 * sigma_space**2) - difference**2 / (2 * sigma_range**2))
    weights = weights / weights.sum(2, keepdim=True)  # [1, 1, taps, H W]
    y = target
    for _ in range(iterations):
        mean = (weights * neighbours(y, window)).sum(2).reshape(1, channels, h, w)
        y = y + relaxation * ((fidelity * target + mean) / (fidelity + 1) - y)
    return y


def neighbours(x, window):
    """The window around each pixel of [1, C, H, W]: [1, C, window^2, H W]."""
    return F.unfold(F.pad(x, [window // 2] * 4, mode="reflect"), window).reshape(1, x.shape[1], window**2, -1)


def load(options):
    """The function to measure: the network or the solver, on images from files [H, W, C] or random in [0, 1]."""
    generator = np.random.default_rng(0)
    size = [int(side) for side in options.size.split("x")]

    def read(path, channels):
        image = np.load(path) if path else generator.random((*size, channels), dtype=np.float32)
        # Without the copy the strides would say channels last, and every layer would follow them.
        return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().to(options.device, torch.float32)

    if options.part == "nafnet":
        net = NAFNet(**json.loads(options.config)).to(options.device)
        net.load_state_dict(state_dict(np.load(options.params)))
        image = read(options.input, 3)
        return lambda: net(image)
    target, guide = read(options.target, 5), read(options.guide, 3)
    return lambda: bilateral_solve(target, guide, iterations=options.iterations)


def measure(function, repeats, wait):
    """Seconds of each run after one that does not count, and what the last one returned."""
    times = []
    for _ in range(repeats + 1):
        output = None  # lets go of the run before, which would count towards the peak of memory
        start = time.perf_counter()
        output = function()
        wait()
        times.append(round(time.perf_counter() - start, 4))
    return times[1:], output


def parse():
    """The command line: what both parts share, then each one's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    nafnet, solver = parts.add_parser("nafnet"), parts.add_parser("solver")
    nafnet.add_argument("--params", required=True, help="FILE.npz with our arrays by path")
    nafnet.add_argument("--config", required=True, help="fields of NAFNetConfig as JSON")
    solver.add_argument("--iterations", type=int, default=80)
    for part, *files, size in ((nafnet, "input", "3000x4000"), (solver, "target", "guide", "750x1000")):
        for file in files:
            part.add_argument(f"--{file}", help="FILE.npy, [H, W, C]; by default random")
        part.add_argument("--size", default=size, help="HxW of random images")
        part.add_argument("--repeats", type=int, default=3, help="timed runs, at least 1")
        part.add_argument("--output", help="write the result to this FILE.npy, [H, W, C]")
        part.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
        part.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch on the CPU")
    return parser.parse_args()


def main():
    options = parse()
    cuda = options.device == "cuda"
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.allow_tf32 = False  # by default CUDA's convolutions round float32 to 10 bits, ours do not
    with torch.inference_mode():
        times, output = measure(load(options), options.repeats, torch.cuda.synchronize if cuda else lambda: None)
    # The device's peak on CUDA, else the process's, interpreter and libraries included.
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    result = {"times_s": times, "median_s": round(median, 4), "iqr_s": [round(low, 4), round(high, 4)]}
    result |= {"peak_memory_mb": peak // 10**6, "torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps(result | {"device": torch.cuda.get_device_name() if cuda else "cpu"}))
    if options.output is not None:
        np.save(options.output, output[0].permute(1, 2, 0).cpu().numpy())


if __name__ == "__main__":
    main()
