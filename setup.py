"""The compiled part of the build: one extension a `_*.pyx`; everything else is in pyproject.toml.

SFU_BUILD = release (default), debug (bounds and invariant checks) or asan (debug under address and
undefined-behaviour sanitizers). SFU_ONLY = "_rtp _srtp" builds just these, for a quick turn at one file.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

PROFILE = os.environ.get("SFU_BUILD", "release")
ONLY = os.environ.get("SFU_ONLY", "").split()
DEBUG = PROFILE != "release"
CPYTHON_311 = "0x030B0000"
CPUS = os.cpu_count() or 1
FORKS = CPUS if sys.version_info < (3, 14) else 0  # later Pythons would run this file in each child

COMPILE = {
    "release": ["-O3", "-g0", "-fno-plt", "-fvisibility=hidden"],
    "debug": ["-O1", "-g"],
    "asan": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"],
}[PROFILE]
LINK = ["-fsanitize=address,undefined"] if PROFILE == "asan" else []

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "initializedcheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
    "embedsignature": True,
    "legacy_implicit_noexcept": False,
}

try:
    from Cython.Build import cythonize
except ImportError:  # the source archive carries the generated C
    cythonize = None


def sources() -> list[Path]:
    found = sorted(Path("sfu_core").glob("_*.pyx")) + sorted(Path("sfu").glob("_*.pyx"))
    return [path for path in found if not ONLY or path.stem in ONLY]


HEADERS = sorted(str(path) for path in Path("sfu_core/c").glob("*.h"))


def extension(path: Path) -> Extension:
    suffix = ".pyx" if cythonize else ".c"
    return Extension(
        ".".join(path.with_suffix("").parts),
        [str(path.with_suffix(suffix))],
        include_dirs=["sfu_core/c"],
        depends=HEADERS,
        define_macros=[
            ("Py_LIMITED_API", CPYTHON_311),
            ("CYTHON_LIMITED_API", "1"),
            ("SFU_DEBUG", "1" if DEBUG else "0"),
        ],
        extra_compile_args=["-std=gnu11", "-Wno-unused-function", "-Wno-sign-compare", *COMPILE],
        extra_link_args=LINK,
        py_limited_api=True,
    )


extensions = [extension(path) for path in sources()]
if cythonize:
    extensions = cythonize(extensions, compiler_directives=DIRECTIVES, show_all_warnings=False, nthreads=FORKS)

setup(
    ext_modules=extensions,
    options={"bdist_wheel": {"py_limited_api": "cp311"}, "build_ext": {"parallel": CPUS}},
)
