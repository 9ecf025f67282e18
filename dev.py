#!/usr/bin/env python3
"""Sets everything up and runs it; needs nothing but Python 3.11 or newer.

    python3 dev.py render [PHOTO ...] [options of modisp render]   render photos, or the built-in scene
    python3 dev.py test [options of pytest]                        lint and run all tests
    python3 dev.py run PROGRAM [arguments]                         run a program inside the environment

The first call makes a virtual environment in .venv and installs the package into it; later calls reuse it until
pyproject.toml changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
}
"""Settings of glibc's malloc under which freed memory is kept, in huge pages. By itself it maps every large buffer anew
and gives it back, and the kernel then clears its pages at each step. Settings of one's own go before these."""


NO_TESTS = 5
"""What pytest ends with where the arguments leave a run no test."""


def main(arguments):
    if sys.version_info < (3, 11):  # noqa: UP036 (whoever calls this may have an older one)
        return fail(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    command, *rest = arguments or [""]
    if command == "render":
        return set_up("") or render(rest)
    if command == "test":
        return set_up("test,train") or test(rest)
    if command == "run" and rest:
        return set_up("test,train") or subprocess.call([str(PYTHON), *rest], cwd=ROOT, env=MEMORY | os.environ)
    print(__doc__.strip())
    return 0 if command in ("-h", "--help", "help") else 2


def render(arguments):
    """Runs ``modisp render`` where the user stands; without arguments the built-in scene, into out/."""
    if not arguments:
        (ROOT / "out").mkdir(exist_ok=True)
        arguments = ["--output", str(ROOT / "out" / "scene.jpg")]
    return subprocess.call([str(BIN / "modisp"), "render", *arguments])


def test(arguments):
    """Lint, format and tests; stops at the first that fails."""
    # A module is one worker's: what its tests share is compiled once. Their order is that of tests/conftest.py.
    tests = ["-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *arguments]
    steps = [
        (["-m", "ruff", "check", "."], {}),
        (["-m", "ruff", "format", "--check", "."], {}),
        (tests, {"MODISP_TEST_OPTIMISED": ""}),  # their programs compiled in a hurry, see tests/conftest.py
        (tests, {"MODISP_TEST_OPTIMISED": "1"}),
    ]
    for step, environment in steps:
        print("+ python " + " ".join(step), flush=True)
        environment = os.environ | {"JAX_PLATFORMS": "cpu"} | environment
        code = subprocess.call([str(PYTHON), *step], cwd=ROOT, env=environment)
        if code and not (code == NO_TESTS and arguments):
            return code
    return 0


def set_up(extras):
    """Makes the environment and installs the package, unless that has been done; 0 where all is well."""
    stamp = ENVIRONMENT / f"installed-{extras or 'base'}"
    state = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == state:
        return 0
    if not PYTHON.is_file():
        print(f"making a virtual environment in {ENVIRONMENT}", file=sys.stderr, flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], capture_output=True, text=True)
        if made.returncode:
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            return fail(
                "this Python cannot make a virtual environment"
                f" ({(made.stdout + made.stderr).strip().splitlines()[:1]});"
                " on Debian and Ubuntu: apt install python3-venv"
            )
    print("installing modisp_jax and what it needs (a few minutes the first time)", file=sys.stderr, flush=True)
    target = f"{ROOT}[{extras}]" if extras else str(ROOT)
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", target]
    if subprocess.call(install):
        return fail("installation failed, see pip's message above")
    stamp.write_text(state)
    return 0


def fail(message):
    print(f"dev.py: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
