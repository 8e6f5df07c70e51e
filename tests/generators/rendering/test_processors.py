"""The same pixels on another processor, simulated by disabling instruction sets."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from synpat.families import FAMILIES

# Settings with which each library behaves as on a processor without AVX and fused multiplication.
OLDER = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    "NUMBA_CPU_NAME": "x86-64-v2",
    "NUMBA_CPU_FEATURES": "",
    "OPENBLAS_CORETYPE": "Nehalem",
    "OPENCV_IPP": "sse42",
    "OPENCV_CPU_DISABLE": "AVX2,FMA3,AVX,FP16",
}
PAINT = """
import hashlib, sys
from synpat import paint
for family in sys.argv[1:]:
    images = [paint(family, 0, i, *size, render_size=first).image for i in range(4) for size, first in SIZES]
    print(family, hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest())
""".replace("SIZES", "[((80, 208), None), ((64, 64), (96, 96))]")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the switches are those of x86-64")
def test_an_older_processor_paints_the_same_pixels(tmp_path: Path):
    families = [name for name, family in FAMILIES.items() if not family.expensive]

    def painted(environment: dict[str, str]) -> list[str]:
        command = [sys.executable, "-c", PAINT, *families]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
        return done.stdout.splitlines()

    expected = painted({"OPENCV_IPP": "avx2"})
    assert len(expected) == len(families)
    assert painted(OLDER | {"NUMBA_CACHE_DIR": str(tmp_path)}) == expected
