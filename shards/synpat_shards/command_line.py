"""Command-line behaviour that all programs share: errors in one line, --debug, -h and --version."""

import os
import sys
import traceback
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from .errors import InputError, first_line
from .manifest import LARGEST_SIDE

BUG = "This is a bug in synpat. Please report it with the command and the traceback above."

DEBUG = "--debug"
SEVERAL = "Takes several values, and may be repeated."
"""End of the help of every such option. Its metavar ends in three dots."""

SECONDS_BETWEEN_LINES = 5.0
"""Interval of progress lines where standard error is not a terminal."""
FACTORS = {"k": 1000, "M": 1_000_000}
"""Suffixes of counts."""
INTERRUPTED = 130
"""Exit code after SIGINT, as shells report it: 128 plus the number of the signal."""


class Count(click.ParamType):
    """A number of things, 1 or more: 100000, 100_000, 1e5, 100k or 0.1M, as an int."""

    name = "count"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        digits, factor = value.replace("_", ""), 1
        if digits[-1:] in FACTORS:
            digits, factor = digits[:-1], FACTORS[digits[-1]]
        try:
            number = Decimal(digits) * factor
        except InvalidOperation:
            number = Decimal("NaN")
        if not (number.is_finite() and 1 <= number < 2**63 and number == number.to_integral_value()):
            self.fail(f"{value!r} is not a whole number of 1 or more: write 100000, 1e5, 100k or 0.1M", param, ctx)
        return int(number)


class Size(click.ParamType):
    """A size HEIGHTxWIDTH in pixels, as (height, width)."""

    name = "HxW"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        height, _, width = value.partition("x")
        if not (height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
            self.fail(f"{value!r} is not a valid size: write HEIGHTxWIDTH in pixels, such as 80x208", param, ctx)
        if not (1 <= int(height) <= LARGEST_SIDE and 1 <= int(width) <= LARGEST_SIDE):
            self.fail(f"{value!r} is out of range: each side must be between 1 and {LARGEST_SIDE} pixels", param, ctx)
        return int(height), int(width)


class Program(click.Group):
    """The group of commands of one program.

    For an error that the user can correct, one line is printed and the exit code is 1. Any other exception is a bug:
    its traceback is printed, followed by a line that asks for a report. --debug prints the traceback of both.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = {"help_option_names": ["-h", "--help"]} | kwargs.get("context_settings", {})
        super().__init__(*args, **kwargs)
        self.params.append(_debug_option())
        click.version_option(package_name="synpat")(self)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, with the option --debug."""
        cmd.params.append(_debug_option())
        super().add_command(cmd, name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for position, argument in enumerate(args):
            name, equals, value = argument.partition("=")
            if not argument or (name.startswith("--") and equals and not value):
                after = f" after {args[position - 1]}" if not argument and position else f" in {argument}"
                raise click.UsageError(f"the value{after} is empty: is a variable of the shell not set?", ctx)
        return super().parse_args(ctx, _with_repeated_options(self, args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, _with_repeated_options(command, rest) if command else rest

    def main(self, args: Sequence[str] | None = None, *rest: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        args = sys.argv[1:] if args is None else list(args)
        if not standalone_mode:
            return super().main(args, *rest, standalone_mode=False, **extra)
        try:
            outcome = super().main(args, *rest, standalone_mode=False, **extra)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:  # Ctrl-C
            click.echo("Interrupted. Run the same command again to continue.", err=True)
            sys.exit(INTERRUPTED)
        except Exception as error:
            message = user_message(error)
            if message is None or DEBUG in args:
                click.echo(traceback.format_exc(), err=True)
            click.echo(f"Error: {message or BUG}", err=True)
            sys.exit(1)
        sys.exit(outcome if isinstance(outcome, int) else 0)


def _with_repeated_options(command: click.Command, args: Sequence[str]) -> list[str]:
    """Return the arguments with the name of a repeatable option before each of its values: `--shards a b`, as a
    shell makes of `--shards *`, means `--shards a --shards b`."""
    repeatable = {name for option in command.params if getattr(option, "multiple", False) for name in option.opts}
    commands = command.commands if isinstance(command, click.Group) else ()
    complete, name = [], ""
    for position, argument in enumerate(args):
        is_value = position > 0 and args[position - 1] == name
        if argument.startswith("-"):
            name = argument.partition("=")[0]
        elif not is_value and argument in commands:
            return [*complete, *args[position:]]
        elif not is_value and name in repeatable:
            complete.append(name)
        complete.append(argument)
    return complete


class PictureFile(click.Path):
    """The path of a picture to write, in an existing folder, with one of some suffixes."""

    def __init__(self, suffixes: Sequence[str]) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.suffixes = suffixes

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix.lower() not in self.suffixes:
            self.fail(f"{value!r} must end in {' or '.join(self.suffixes)}", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"{value!r} is in a folder that does not exist: create {str(path.parent)!r}", param, ctx)
        return path


def user_message(error: Exception) -> str | None:
    """Return the line that tells a user what to correct, or None if the error is a bug."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}. Correct this and run the same command again: it continues where it stopped"
    if type(error).__name__ == "OutOfMemoryError":  # of torch, which need not be installed
        return f"the GPU is out of memory: {error}".partition("\n")[0]
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # the latter of torch
        return f"there is not enough memory: {first_line(error)}. Choose smaller images, a smaller model or batch"
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("synpat"):
        return f"{error.name} is not installed: pip install 'synpat[train]'"
    return str(error) if isinstance(error, InputError | OSError) else None


def _debug_option() -> click.Option:
    return click.Option([DEBUG], is_flag=True, expose_value=False, help="Show the traceback of an error.")
