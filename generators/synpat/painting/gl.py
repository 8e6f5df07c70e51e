"""GLSL fragment shaders from a folder of the user, run by OpenGL without a window or a display.

Baradad et al., "Procedural image programs for representation learning", 2022, render Shaders21k in this way. We may not
distribute those programs, but users can obtain them. Each file is one shader. It defines either Shadertoy's

    void mainImage(out vec4 colour, in vec2 place)        with iResolution, iTime and its other inputs

or `main`, optionally with `uniform vec2 resolution; uniform float time;` (or u_resolution and u_time). There are no
textures; mouse and date are 0. Results of OpenGL differ in the last bits between drivers and versions: unlike other
patterns, these are the same only with the same driver.
"""

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synpat.family import Image
from synpat_shards import InputError, MissingDependencyError

if TYPE_CHECKING:
    from moderngl import Context, Framebuffer, Program, Uniform, VertexArray

SUFFIXES = (".glsl", ".frag", ".fs")
PACKAGES = "libegl1 libegl-mesa0 libgl1-mesa-dri"
"""Packages of Debian and Ubuntu with an OpenGL that runs without a graphics card."""

# One triangle that covers the complete image.
_VERTICES = """
void main() {
    gl_Position = vec4(4.0 * float(gl_VertexID % 2) - 1.0, 4.0 * float(gl_VertexID / 2) - 1.0, 0.0, 1.0);
}
"""
_SHADERTOY = """
uniform vec3 iResolution; uniform float iTime; uniform float iTimeDelta; uniform float iFrameRate; uniform int iFrame;
uniform float iChannelTime[4]; uniform vec3 iChannelResolution[4]; uniform vec4 iMouse; uniform vec4 iDate;
uniform float iSampleRate; uniform sampler2D iChannel0, iChannel1, iChannel2, iChannel3;
"""
_SHADERTOY_MAIN = "\nvoid main() { synpat_pixel = vec4(0.0); mainImage(synpat_pixel, gl_FragCoord.xy); }\n"


@lru_cache(maxsize=8)
def shader_files(folder: str) -> tuple[tuple[Path, ...], str]:
    """Return the shaders of a folder, sorted by name, and the SHA-256 of their names and texts.

    Each process reads the folder once. Raises InputError if the folder does not exist or has no shader.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder!r} is not a folder: pass a folder with shaders (*{', *'.join(SUFFIXES)})")
    files = tuple(sorted(path for path in Path(folder).iterdir() if path.suffix in SUFFIXES))
    if not files:
        raise InputError(f"{folder!r} contains no shader: file names must end in {', '.join(SUFFIXES)}")
    digest = hashlib.sha256()
    for path in files:
        digest.update(b"%b\0%b\0" % (path.name.encode(), hashlib.sha256(path.read_bytes()).digest()))
    return files, digest.hexdigest()


def check_shaders(folder: str) -> None:
    """Compile every shader of a folder.

    Raises InputError, with the file and the compiler's log, for the first one that does not compile.
    """
    for path in shader_files(folder)[0]:
        _compiled(path)


def run_shader(path: Path, time: float, height: int, width: int) -> Image:
    """Return the image of a shader at a time in seconds: uint8 [height, width, 3], top row first."""
    framebuffer, triangle = _framebuffer(height, width), _compiled(path)
    for uniform in _uniforms(triangle.program, "iTime", "time", "u_time"):
        uniform.value = time
    for uniform in _uniforms(triangle.program, "iResolution", "resolution", "u_resolution"):
        # The third component of Shadertoy's resolution is the aspect ratio of a pixel.
        uniform.value = (width, height, 1.0)[: uniform.dimension]
    framebuffer.use()
    framebuffer.clear()
    triangle.render(vertices=3)
    pixels = np.frombuffer(framebuffer.read(components=3, alignment=1), np.uint8)
    return pixels.reshape(height, width, 3)[::-1].copy()  # OpenGL's first row is the bottom row


def _uniforms(program: "Program", *names: str) -> "list[Uniform]":
    """Return the inputs with these names that a shader reads. The compiler removes the others."""
    import moderngl

    members = (program.get(name, None) for name in names)
    return [member for member in members if isinstance(member, moderngl.Uniform)]


@lru_cache(maxsize=256)
def _compiled(path: Path) -> "VertexArray":
    """Return a compiled shader, ready to paint an image."""
    context = _context()
    import moderngl

    version, source = _complete(path.read_text(errors="replace"))
    try:
        program = context.program(vertex_shader=version + _VERTICES, fragment_shader=version + source)
    except moderngl.Error as error:
        lines = [line.strip() for line in str(error).splitlines()]
        log = [line for line in lines if line and not set(line) <= {"="}]
        raise InputError(f"{path} does not compile: {'; '.join(log)}") from None
    return context.vertex_array(program, [])


def _complete(source: str) -> tuple[str, str]:
    """Return the version line of a shader, and its text with the missing declarations added."""
    declared = re.search(r"^\s*#version[^\n]*", source, re.MULTILINE)
    version = declared[0].strip() if declared else "#version 330"
    # Line breaks are kept, so that the compiler reports the line numbers of the file.
    body = source.replace(declared[0], "\n" * declared[0].count("\n"), 1) if declared else source
    body = re.sub(r"\bgl_FragColor\b", "synpat_pixel", body)
    before, after = "", ""
    if re.search(r"\bvoid\s+mainImage\b", body):
        before, after = _SHADERTOY, _SHADERTOY_MAIN
    if after or "synpat_pixel" in body:
        before += "out vec4 synpat_pixel;\n"
    precision = "precision highp float;\n" if version.endswith(" es") else ""
    return version + "\n", f"{precision}{before}#line 1\n{body}\n{after}"


@lru_cache(maxsize=1)
def _context() -> "Context":
    """Return the OpenGL context of this process.

    Raises MissingDependencyError without moderngl, InputError if OpenGL does not start. Both messages name the packages
    to install.
    """
    try:
        import moderngl
    except ModuleNotFoundError as missing:
        raise MissingDependencyError(
            "shaders from a folder need moderngl, which is not installed: pip install 'synpat[gl]'"
        ) from missing
    os.environ.setdefault(
        "LP_NUM_THREADS", "1"
    )  # one thread for Mesa's software renderer: each worker process uses one core
    try:
        context = moderngl.create_context(require=330, standalone=True, backend="egl")  # pyright: ignore[reportArgumentType]
    except Exception as error:  # glcontext raises bare Exceptions
        raise InputError(f"OpenGL does not start: {error}. On Debian and Ubuntu: apt-get install {PACKAGES}") from None
    context.gc_mode = "auto"  # frees a program when it is removed from the cache above
    return context


@lru_cache(maxsize=4)
def _framebuffer(height: int, width: int) -> "Framebuffer":
    return _context().simple_framebuffer((width, height))
