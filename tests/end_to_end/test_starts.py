"""Each program starts with only the packages that it needs, and on systems with fewer functions."""

import shutil
import subprocess
import sys

import pytest

BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
sys.argv = {arguments}
"""
SLOW = ("torch", "torchvision", "timm", "sklearn", "scipy", "matplotlib", "transformers")
"""Packages that take seconds to import."""
MAINS = {
    "synpat": "from synpat.cli import main; main()",
    "synpat-train": "from synpat_train.entry_points import train; train()",
    "synpat-eval": "from synpat_train.entry_points import evaluate; evaluate()",
}


def start(code: str, blocked: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    script = BLOCK.format(blocked=sorted(blocked), arguments=list(arguments)) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [("synpat", "families"), ("synpat", "render", "--help")])
def test_synpat_starts_without_torch(arguments: tuple[str, ...]):
    done = start(MAINS["synpat"], {"torch", "torchvision", "timm", "synpat_train"}, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["synpat-train", "synpat-eval"])
def test_the_trainer_starts_without_numba_and_opencv(program: str):
    done = start(MAINS[program], {"numba", "llvmlite", "cv2", "synpat"}, program, "--help")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("synpat", "--help"), 0),
        (("synpat", "-h"), 0),
        (("synpat", "--version"), 0),
        (("synpat", "render", "--n", "x"), 2),
        (("synpat-train", "--help"), 0),
        (("synpat-train", "-h"), 0),
        (("synpat-train", "--version"), 0),
        (("synpat-train", "--out", "run"), 2),
        (("synpat-train", "--shards", "x", "--out", "run", "--set", "seed=-1"), 1),
        (("synpat-eval", "--help"), 0),
        (("synpat-eval", "-h"), 0),
        (("synpat-eval", "--version"), 0),
        (("synpat-eval", "tasks"), 0),
        (("synpat-eval", "--encoder", "x", "--task", "esc51"), 2),
        (("synpat-eval", "--encoder", "x", "--task", "gm-pitch", "--set", "epoch=3"), 1),
    ],
)
def test_help_and_usage_errors_import_nothing_slow(arguments: tuple[str, ...], status: int):
    code = f"""
try:
    {MAINS[arguments[0]].replace("; ", chr(10) + "    ")}
finally:
    print([name for name in {SLOW} if name in sys.modules])
"""
    if arguments[0] == "synpat":
        code = code.replace("'scipy', ", "")  # numba imports the package scipy, without its submodules
    done = start(code, set(), *arguments)
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("program", "module", "arguments"),
    [
        ("synpat", "numpy", ["families"]),
        ("synpat", "numba", ["families"]),
        ("synpat", "click", ["families"]),
        ("train", "numpy", ["--help"]),
        ("train", "pydantic", ["--help"]),
        ("train", "torch", ["--shards", "x", "--out", "run"]),
        ("evaluate", "fsspec", ["tasks"]),
        ("evaluate", "soundfile", ["tasks"]),
    ],
)
def test_ctrl_c_while_libraries_are_loaded_is_no_traceback(program: str, module: str, arguments: list[str]):
    code = BLOCK.replace('ModuleNotFoundError(f"No module named {{name!r}}", name=name)', "KeyboardInterrupt")
    script = code.format(blocked=[module], arguments=[program, *arguments])
    script += f"from synpat_programs import {program}; {program}()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stdout == ""
    assert done.stderr.strip() in ("", "Interrupted. Run the same command again to continue.")


def test_python_m_synpat_runs_the_command():
    done = subprocess.run([sys.executable, "-m", "synpat", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("synpat, version ")


@pytest.mark.parametrize("program", ["synpat-train", "synpat-eval"])
def test_a_missing_extra_is_reported_with_the_command_that_installs_it(program: str):
    done = start(MAINS[program], {"pydantic"}, program, "--help")
    assert done.returncode == 1
    assert done.stderr == "Error: pydantic is not installed: pip install 'synpat[train]'\n"


def test_an_extra_that_is_missing_later_is_reported_too():
    done = start(MAINS["synpat-train"], {"torch"}, "synpat-train", "--shards", "x", "--out", "run", "--epochs", "1")
    assert done.returncode == 1
    assert done.stderr == "Error: torch is not installed: pip install 'synpat[train]'\n"


GPU_IS_FULL = """
import torch
import synpat_train.pretraining.train
def full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\\nAnd more of it")
synpat_train.pretraining.train.pretrain = full
"""


def test_a_gpu_out_of_memory_is_reported_in_one_line():
    done = start(GPU_IS_FULL + MAINS["synpat-train"], set(), "synpat-train", "--shards", "x", "--out", "run")
    assert done.returncode == 1
    assert done.stderr == "Error: the GPU is out of memory: CUDA out of memory. Tried to allocate 2.00 GiB.\n"


BUG = """
import synpat_train.pretraining.train
def broken(*_, **__):
    raise ValueError("operands could not be broadcast together")
synpat_train.pretraining.train.pretrain = broken
"""


def test_a_bug_shows_its_traceback_and_a_line_that_says_so():
    done = start(BUG + MAINS["synpat-train"], set(), "synpat-train", "--shards", "x", "--out", "run")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "operands could not be broadcast together" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: This is a bug in synpat.")


@pytest.mark.parametrize("debug", [False, True])
def test_debug_shows_the_traceback_of_a_mistake(debug: bool):
    words = ["synpat", "verify", "nowhere://x/y", *(["--debug"] if debug else [])]
    done = start(MAINS["synpat"], set(), *words)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == debug
    assert done.stderr.splitlines()[-1].startswith("Error: nowhere:// is not supported")


OTHER_SYSTEM = """
import os
from pathlib import Path
del os.sched_getaffinity, os.posix_fallocate
os.process_cpu_count = os.cpu_count  # since Python 3.13, which defines it with sched_getaffinity on Linux
exists = Path.exists
Path.exists = lambda path, **options: not str(path).startswith(("/proc", "/sys")) and exists(path, **options)
"""


def test_it_runs_where_linux_functions_are_missing(tmp_path):
    """macOS has no sched_getaffinity, posix_fallocate, /proc or /sys."""
    out, run, cache = (str(tmp_path / name) for name in ("set", "run", "cache"))
    done = start(OTHER_SYSTEM + MAINS["synpat"], set(), "synpat", *f"render --family perlin --n 8 --out {out}".split())
    assert done.returncode == 0, done.stderr
    words = f"--shards {out} --out {run} --cache {cache} --model tiny --steps 1 --batch-size 8".split()
    words += ["--set", "decoder_width=32", "--set", "decoder_depth=1", "--set", "decoder_heads=2"]
    done = start(OTHER_SYSTEM + MAINS["synpat-train"], set(), "synpat-train", *words)
    assert done.returncode == 0, done.stderr


UNWRITABLE = """
import os
access = os.access
os.access = lambda path, mode, **options: access(path, mode, **options) and str(path).startswith(TMP)
"""


def test_it_starts_from_a_read_only_installation_with_an_unwritable_home(tmp_path):
    """As in a container that runs as another user. numba would refuse to start."""
    code = f"TMP = {str(tmp_path)!r}\n" + UNWRITABLE + "os.environ.pop('NUMBA_CACHE_DIR', None)\n"
    code += f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
    done = start(
        code + MAINS["synpat"] + "\n", set(), "synpat", "show", "--family", "perlin", "--out", f"{tmp_path}/x.png"
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("synpat-numba-*/*"))


@pytest.mark.parametrize("size", ["", "1"])
def test_an_empty_variable_of_torchrun_is_not_set(size: str):
    code = f"""
import os
os.environ |= {{"WORLD_SIZE": {size!r}, "LOCAL_RANK": "", "RANK": ""}}
from synpat_train.distributed import process_group
with process_group() as group:
    print(group.count)
"""
    assert start(code, set()).stdout == "1\n"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WORLD_SIZE", "two", "WORLD_SIZE must be a number, got 'two': start the processes with torchrun, or unset"),
        ("WORLD_SIZE", "2", "WORLD_SIZE is 2, but the processes cannot meet"),
    ],
)
def test_wrong_variables_of_torchrun_are_named(name: str, value: str, words: str):
    code = f"import os; os.environ[{name!r}] = {value!r}\n"
    done = start(code + MAINS["synpat-train"], set(), "synpat-train", "--shards", "x", "--out", "run")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {words}")


def test_an_empty_variable_of_numba_is_not_set():
    code = "import os; os.environ['NUMBA_NUM_THREADS'] = ''\n"
    done = start(code + MAINS["synpat"], set(), "synpat", "families")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    ["synpat verify ", "synpat-train --shards x --out ", "synpat-eval --encoder= --task gm-pitch"],
)
def test_an_empty_value_is_reported(words: str):
    program, *arguments = words.split(" ")
    done = start(MAINS[program], set(), program, *arguments)
    assert done.returncode == 2
    assert "is empty: is a variable of the shell not set?" in done.stderr.splitlines()[-1]


MEMORY = """
import numpy, torch
import synpat_train.pretraining.train
def exhausted(*_, **__):
    {}
synpat_train.pretraining.train.pretrain = exhausted
"""


@pytest.mark.parametrize("allocation", ["numpy.empty(1 << 48)", "torch.empty(1 << 48)"])
def test_too_little_memory_is_reported_in_one_line(allocation: str):
    script = MEMORY.format(allocation) + MAINS["synpat-train"]
    done = start(script, set(), "synpat-train", "--shards", "x", "--out", "run")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: there is not enough memory: ")
    assert done.stderr.count("\n") == 1


def test_other_systems_are_refused_in_one_line():
    done = start("import synpat_shards", {"fcntl"}, "synpat")
    assert done.returncode == 1
    assert done.stderr == "Error: synpat runs on Linux and macOS. On Windows, use WSL.\n"


def complete(program: str, instruction: str, words: str = "") -> list[str]:
    """Return what a program prints when a shell asks it to complete the last word."""
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    request = {variable: instruction, "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = start(f"import os; os.environ |= {request!r}\n{MAINS[program]}", set(), program)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", MAINS)
def test_completion_has_a_script_for_each_shell(program: str, shell: str):
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("click asks bash for its version")
    assert any(program in line for line in complete(program, f"{shell}_source"))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("synpat rend", ["render"]),
        ("synpat render --family frac", ["fractaldb"]),
        ("synpat render --family perlin,frac", ["perlin,fractaldb"]),
        ("synpat sheet --fam", ["--family"]),
        ("synpat show --family ifs --resize-filter ar", ["area"]),
        ("synpat-train --preset m", ["msm-mae", "m2d"]),
        ("synpat-eval --task gm", ["gm-instrument", "gm-pitch"]),
        ("synpat-eval check es", ["esc50", "esc10"]),
    ],
)
def test_completion_of_names(words: str, names: list[str]):
    completed = complete(words.split(" ")[0], "bash_complete", words)
    assert [line.partition(",")[2] for line in completed] == names
