"""The command `synpat`."""

import click

from synpat_shards.command_line import Program

from .commands.look import families, preview, sheet, show, stats
from .commands.render import render
from .commands.sets import extend, finalize_command, inspect, publish_command, verify_command


@click.group(cls=Program)
def main() -> None:
    """Render synthetic patterns for pre-training audio encoders."""


for command in (
    families,
    show,
    sheet,
    render,
    finalize_command,
    verify_command,
    publish_command,
    inspect,
    preview,
    stats,
    extend,
):
    main.add_command(command)
