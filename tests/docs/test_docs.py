"""The documentation matches the programs: commands run, options exist, generated pages are current, links work."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile

from synpat.cli import main as synpat
from synpat_train.evaluation.cli import main as synpat_eval
from synpat_train.pretraining.cli import main as synpat_train

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS: dict[str, click.Group] = {"synpat": synpat, "synpat-train": synpat_train, "synpat-eval": synpat_eval}
BLOCK = re.compile(r"(<!-- not run: (?P<reason>[^>]+) -->\n)?```bash\n(?P<code>.*?)```", re.DOTALL)


def commands(page: Path, runnable: bool) -> Iterator[str]:
    """Yield the commands of synpat in the bash blocks of a page; runnable: only those that are not marked "not run"."""
    for block in BLOCK.finditer(page.read_text()):
        if block["reason"] and runnable:
            continue
        for line in block["code"].replace("\\\n", " ").splitlines():
            words = line.split("#")[0].strip()
            if words.split(" ")[0] in PROGRAMS:
                yield words


def small(command: str) -> list[str]:
    """Return a command with few samples, few steps and a small decoder."""
    command = re.sub(r"--n (\d+)", lambda n: f"--n {36 if int(n[1]) > 150_000 else 24}", command)
    command = re.sub(r"--(steps|epochs) \d+k?", "--steps 2", command)
    command = re.sub(r"( --task( gm-\w+)+)+", " --task folder --data my-recordings", command)
    words = shlex.split(command)
    if words[:2] == ["synpat", "render"]:
        words += ["--samples-per-shard", "12", "--workers", "1"]
    if words[0] == "synpat-train" and "--shards" in words:
        decoder = ("decoder_width=32", "decoder_depth=1", "decoder_heads=2", "log_every=1")
        words += ["--batch-size", "8", "--cache", "cache", *(word for s in decoder for word in ("--set", s))]
    if words[0] == "synpat-eval" and "--encoder" in words:
        words += ["--protocol", "knn", "--cache", "cache"]
    return words


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sets, a run and recordings, as a user of the documentation has them."""
    folder = tmp_path_factory.mktemp("docs")
    for family in ("perlin", "fractaldb"):
        run(folder, small(f"synpat render --family {family} --n 100000 --out sets/{family}"))
    run(folder, small("synpat-train --shards sets/perlin --out runs/perlin --model tiny --steps 2"))
    recordings = folder / "my-recordings"
    recordings.mkdir()
    rows = ["filename,label,fold"]
    for clip in range(12):
        waveform = np.sin(2 * np.pi * (300 + 500 * (clip % 2)) * np.arange(16_000) / 16_000) * 0.5
        soundfile.write(recordings / f"{clip}.wav", waveform, 16_000)
        rows.append(f"{clip}.wav,{'low' if clip % 2 == 0 else 'high'},{clip // 4}")
    (recordings / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def run(folder: Path, words: list[str]) -> None:
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"


RUNNABLE = [page for page in PAGES if page.name != "commands.md" and list(commands(page, runnable=True))]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_commands_of_the_page_run(page: Path, prepared: Path, tmp_path: Path):
    folder = tmp_path / "user"
    shutil.copytree(prepared, folder)
    for command in commands(page, runnable=True):
        words = small(command)
        out = folder / words[words.index("--out") + 1] if "--out" in words else None
        if out is not None and out.is_dir() and words[0] != "synpat-eval":
            shutil.rmtree(out)  # the page makes it again
        run(folder, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_on_the_page_exists(page: Path):
    for command in commands(page, runnable=False):
        words = shlex.split(command)
        group = PROGRAMS[words[0]]
        chosen = group.commands.get(words[1]) if len(words) > 1 else None
        known = {name for parameter in (chosen or group).params for name in parameter.opts}
        unknown = [word for word in words if word.startswith("--") and word not in {*known, "--help", "--version"}]
        assert not unknown, command


def test_generated_pages_are_current():
    done = subprocess.run([sys.executable, ROOT / "tools" / "make_docs.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_reference_names_every_command_and_option():
    text = (ROOT / "docs" / "commands.md").read_text()
    for program, group in PROGRAMS.items():
        for name, command in {"": group, **group.commands}.items():
            section = text.split(f"# {program} {name}".rstrip() + "\n", 1)[1].split("\n#", 1)[0]
            shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
            assert all(name in section for p in shown if isinstance(p, click.Option) for name in p.opts), name


def test_the_site_builds_without_warnings(tmp_path: Path):
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--quiet", "--site-dir", tmp_path]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Return the mean of the patch features" in (tmp_path / "python" / "index.html").read_text()


def test_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_readme_has_at_most_150_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("tool", sorted((ROOT / "tools").glob("*.py")), ids=lambda tool: tool.name)
def test_every_tool_is_executable_and_has_help(tool: Path):
    if not tool.read_text().startswith("#!"):
        pytest.skip("a library of another tool")
    assert os.access(tool, os.X_OK)
    if tool.name == "fuzz_readers.py":
        pytest.skip("needs atheris, which is not among the test dependencies")
    done = subprocess.run([sys.executable, tool, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout or "usage" in done.stdout
