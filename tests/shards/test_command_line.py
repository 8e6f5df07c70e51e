"""Argument types, and the rule for lists, that all programs share."""

import importlib

import click
import pytest
from click.testing import CliRunner

from synpat_shards.command_line import SEVERAL, Count, Program


@pytest.mark.parametrize(
    ("text", "count"),
    [("7", 7), ("100_000", 100_000), ("1e5", 100_000), ("100k", 100_000), ("0.1M", 100_000), ("2.5e3", 2500)],
)
def test_counts_have_short_forms(text: str, count: int):
    assert Count().convert(text, None, None) == count


@pytest.mark.parametrize("text", ["", "k", "0", "-3", "1.5", "nan", "inf", "1e30", "100K", "1e-4k", "ten"])
def test_other_texts_are_refused(text: str):
    with pytest.raises(click.BadParameter, match="is not a whole number of 1 or more"):
        Count().convert(text, None, None)


@pytest.mark.parametrize(
    "words",
    ["--shards a b --out r", "--out r --shards a b", "--shards=a b --out r", "--shards a --out r --shards b"],
)
def test_an_option_takes_several_values(words: str):
    @click.group(cls=Program, invoke_without_command=True)
    @click.option("--shards", multiple=True)
    @click.option("--out")
    @click.pass_context
    def main(context: click.Context, shards: tuple[str, ...], out: str) -> None:
        click.echo((context.invoked_subcommand, shards, out))

    command = click.Command("inspect", params=[click.Argument(["run"])], callback=lambda run: click.echo(run))
    main.add_command(command)
    assert CliRunner().invoke(main, words.split()).stdout == "(None, ('a', 'b'), 'r')\n"
    assert CliRunner().invoke(main, ["--shards", "a", "inspect", "r"]).stdout == "('inspect', ('a',), None)\nr\n"
    assert CliRunner().invoke(main, ["--shards", "a", "--out", "r", "b"]).exit_code == 2


@pytest.mark.parametrize("words", ["--set a b --out r", "--out r --set a --set b"])
def test_an_option_of_a_command_takes_several_values_too(words: str):
    main = Program("main")
    options: list[click.Parameter] = [click.Option(["--set", "settings"], multiple=True), click.Option(["--out"])]
    main.add_command(click.Command("show", params=options, callback=lambda settings, out: click.echo((settings, out))))
    assert CliRunner().invoke(main, ["show", *words.split()]).stdout == "(('a', 'b'), 'r')\n"


@pytest.mark.parametrize("module", ["synpat.cli", "synpat_train.pretraining.cli", "synpat_train.evaluation.cli"])
def test_every_option_that_can_be_repeated_says_so(module: str):
    program = importlib.import_module(module).main
    options = [
        option
        for command in (program, *program.commands.values())
        for option in command.params
        if isinstance(option, click.Option) and option.multiple
    ]
    assert options
    for option in options:
        assert (option.metavar or "").endswith("...")
        assert SEVERAL in (option.help or "")
