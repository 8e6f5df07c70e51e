"""Run `python -m synpat`."""

from .cli import main

main(prog_name="synpat")
