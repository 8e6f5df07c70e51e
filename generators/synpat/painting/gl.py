"""GLSL fragment shaders from a folder of the user's own, run by OpenGL without a window or a display.

This is how Baradad et al., "Procedural image programs for representation learning", 2022, render Shaders21k, whose
programs you may have and we may not ship. Each file is one shader, and either defines Shadertoy's

    void mainImage(out vec4 colour, in vec2 place)        with iResolution, iTime and its other inputs

or `main`, and may declare `uniform vec2 resolution; uniform float time;` (also as u_resolution and u_time). There are
no textures, and the mouse and the date stand at 0. What OpenGL computes differs in the last bits from one driver and
version to another: unlike all our other pictures, these are the same only where the driver is.
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
"""What Debian and Ubuntu call an OpenGL that needs no graphics card."""

# One triangle that covers the whole picture.
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
    """The shaders of a folder by name, and the SHA-256 of their names and texts; read once by each process.

    Raises InputError if there is no such folder or no shader in it.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder!r} is no folder: folder must name one that holds shaders (*{', *'.join(SUFFIXES)})")
    files = tuple(sorted(path for path in Path(folder).iterdir() if path.suffix in SUFFIXES))
    if not files:
        raise InputError(f"{folder!r} holds no shader: its files must end in {', '.join(SUFFIXES)}")
    digest = hashlib.sha256()
    for path in files:
        digest.update(b"%b\0%b\0" % (path.name.encode(), hashlib.sha256(path.read_bytes()).digest()))
    return files, digest.hexdigest()


def check_shaders(folder: str) -> None:
    """Compile every shader of a folder.

    Raises InputError, with the file and the compiler's log, at the first that does not compile.
    """
    for path in shader_files(folder)[0]:
        _compiled(path)


def run_shader(path: Path, time: float, height: int, width: int) -> Image:
    """The picture of a shader at a time in seconds: uint8 [height, width, 3], the first row on top."""
    framebuffer, triangle = _framebuffer(height, width), _compiled(path)
    for uniform in _uniforms(triangle.program, "iTime", "time", "u_time"):
        uniform.value = time
    for uniform in _uniforms(triangle.program, "iResolution", "resolution", "u_resolution"):
        uniform.value = (width, height, 1.0)[: uniform.dimension]  # Shadertoy's third is the shape of a pixel
    framebuffer.use()
    framebuffer.clear()
    triangle.render(vertices=3)
    pixels = np.frombuffer(framebuffer.read(components=3, alignment=1), np.uint8)
    return pixels.reshape(height, width, 3)[::-1].copy()  # OpenGL's first row is the lowest


def _uniforms(program: "Program", *names: str) -> "list[Uniform]":
    """Those of the inputs that a shader reads; the compiler drops what it does not."""
    import moderngl

    members = (program.get(name, None) for name in names)
    return [member for member in members if isinstance(member, moderngl.Uniform)]


@lru_cache(maxsize=256)
def _compiled(path: Path) -> "VertexArray":
    """A shader ready to paint the whole picture."""
    context = _context()
    import moderngl

    version, source = _complete(path.read_text(errors="replace"))
    try:
        program = context.program(vertex_shader=version + _VERTICES, fragment_shader=version + source)
    except moderngl.Error as error:
        said = [line.strip() for line in str(error).splitlines()]
        log = [line for line in said if line and not set(line) <= {"="}]
        raise InputError(f"{path} does not compile: {'; '.join(log)}") from None
    return context.vertex_array(program, [])


def _complete(source: str) -> tuple[str, str]:
    """The version line of a shader, and a text in that version that fills in what the file takes for granted."""
    declared = re.search(r"^\s*#version[^\n]*", source, re.MULTILINE)
    version = declared[0].strip() if declared else "#version 330"
    # What is taken out leaves its line break, so that the compiler counts lines as the author does.
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
    """The one OpenGL context of this process.

    Raises MissingDependencyError without moderngl, InputError without an OpenGL; both say what to install.
    """
    try:
        import moderngl
    except ModuleNotFoundError as missing:
        raise MissingDependencyError(
            "shaders from a folder need moderngl, which is not installed: pip install 'synpat[gl]'"
        ) from missing
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa's painter in software: a process is a core
    try:
        context = moderngl.create_context(require=330, standalone=True, backend="egl")  # pyright: ignore[reportArgumentType]
    except Exception as error:  # glcontext raises bare Exceptions
        raise InputError(f"OpenGL does not start: {error}. On Debian and Ubuntu: apt-get install {PACKAGES}") from None
    context.gc_mode = "auto"  # frees a program when the cache above lets go of it
    return context


@lru_cache(maxsize=4)
def _framebuffer(height: int, width: int) -> "Framebuffer":
    return _context().simple_framebuffer((width, height))
