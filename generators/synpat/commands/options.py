"""Options and argument types that several commands share."""

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from synpat.families import FAMILIES, find_family
from synpat.rendering.slices import Slice
from synpat_shards import MODES, RESIZE_FILTERS, InputError, Store, is_url, open_store
from synpat_shards.command_line import SEVERAL, PictureFile, Size

FC = TypeVar("FC", bound="Callable[..., Any] | click.Command")


RenderSize = tuple[int, int] | str | None
"""A height and width, published, or None for native."""


class RenderSizeType(Size):
    """A size, published, or native as None."""

    name = "published|native|HxW"

    def convert(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, value: RenderSize, param: click.Parameter | None, ctx: click.Context | None
    ) -> RenderSize:
        if value in ("published", "native") or not isinstance(value, str):
            return None if value == "native" else value
        return super().convert(value, param, ctx)


def size_of_painting(family: str, render_size: RenderSize) -> tuple[int, int] | None:
    """Return the size at which a family is painted; None for the size of its images.

    Families without a published size are painted at the size of their images.
    """
    return FAMILIES[family].published_size if isinstance(render_size, str) else render_size


class SliceType(click.ParamType):
    """A slice I/N, auto or auto/N, as a Slice."""

    name = "I/N"

    def convert(self, value: str | Slice, param: click.Parameter | None, ctx: click.Context | None) -> Slice:
        try:
            return value if isinstance(value, Slice) else Slice.parse(value, os.environ)
        except InputError as error:
            self.fail(str(error), param, ctx)


class FamilyName(click.Choice[str]):
    """The name of a family."""

    def __init__(self) -> None:
        super().__init__(list(FAMILIES))

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            find_family(value)
        except InputError as error:
            self.fail(str(error), param, ctx)
        return value


class FamilyNames(click.ParamType):
    """Names of families, separated by commas, or all, as a list."""

    name = "families"

    def convert(self, value: str | list[str], param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        affordable = [name for name, family in FAMILIES.items() if not family.expensive]
        names = affordable if value == "all" else value.split(",")
        return [FamilyName().convert(name, param, ctx) for name in names]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + name) for name in (*FAMILIES, "all") if name.startswith(last)]


class StoreType(click.ParamType):
    """A folder or a URL, as a Store."""

    name = "folder or URL"

    def convert(self, value: str | Store, param: click.Parameter | None, ctx: click.Context | None) -> Store:
        if isinstance(value, str) and not is_url(value) and Path(value).is_file():
            self.fail(f"{value!r} is a file: pass a folder or a URL", param, ctx)
        return open_store(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir")]


class ShardCount(click.ParamType):
    """A number of shards, or all."""

    name = "K|all"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if isinstance(value, int) or value == "all":
            return value
        if not (value.isascii() and value.isdigit() and int(value) >= 1):
            self.fail(f"{value!r} is not valid: pass a number of shards, 1 or more, or all", param, ctx)
        return int(value)


family_option = click.option(
    "--family", type=FamilyName(), required=True, metavar="NAME", help="One of `synpat families`."
)


def families_option(help: str, **settings: Any) -> Callable[[FC], FC]:
    """Return the option --family for several families, whose value is a list of names without duplicates."""
    return click.option(
        "--family",
        "names",
        type=FamilyNames(),
        multiple=True,
        metavar="NAME|all...",
        callback=lambda context, option, lists: list(dict.fromkeys(itertools.chain.from_iterable(lists))),
        help=f"{help} {SEVERAL} Commas may separate them.",
        **settings,
    )


seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all parameters and pixels."
)
size_option = click.option(
    "--size", type=Size(), default="80x208", show_default=True, help="Height (frequency) and width (time) in pixels."
)
render_size_option = click.option(
    "--render-size",
    type=RenderSizeType(),
    default=None,
    show_default="native",
    help="Size at which images are painted before they are resized to --size. native: --size. published: that of the "
    "published images of the family, if it has any (see the page of all families), otherwise native.",
)
resize_filter_option = click.option(
    "--resize-filter",
    type=click.Choice(RESIZE_FILTERS),
    default="area",
    show_default=True,
    help="Method of resizing: mean over the area of a pixel, or Pillow's bilinear filter.",
)
parameter_option = click.option(
    "--param",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE...",
    help=f"Fix a parameter of the family instead of drawing it. {SEVERAL}",
)
mode_option = click.option(
    "--mode", type=click.Choice(MODES), default="L", show_default=True, help="L is grey, RGB is colour."
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=None,
    help="Number of processes. The result is the same for any number.  [default: the available cores]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
set_argument = click.argument("store", metavar="SET", type=StoreType())


def picture_option(
    required: bool = True, help: str = "PNG file to write.", suffixes: Sequence[str] = (".png",)
) -> Callable[[FC], FC]:
    """Return the option --out for a picture."""
    return click.option("--out", metavar="FILE", type=PictureFile(suffixes), required=required, help=help)
