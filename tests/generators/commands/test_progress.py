"""Names of files are shown unchanged in messages and progress bars."""

import pytest

from synpat.commands.progress import CopyProgress, RenderProgress

NAME = "sets/[tiny] [/a]"


def test_brackets_in_a_message_are_printed_unchanged(capfd: pytest.CaptureFixture):
    with RenderProgress("perlin", 2) as progress:
        progress.message(f"Stopped: 1 of 2 images are in {NAME}.")
    assert f"in {NAME}." in capfd.readouterr().err


@pytest.mark.parametrize("kind", [RenderProgress, CopyProgress])
def test_brackets_in_the_name_of_a_progress_bar_are_printed_unchanged(
    kind: type, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with RenderProgress(NAME, 2) if kind is RenderProgress else CopyProgress(NAME) as progress:
        if isinstance(progress, CopyProgress):
            progress.begin(2)
        progress.bar.refresh()
    assert NAME in capfd.readouterr().err
