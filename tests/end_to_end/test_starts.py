"""Each command starts without the packages that only the other commands need."""

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


def start(code: str, blocked: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    script = BLOCK.format(blocked=sorted(blocked), arguments=list(arguments)) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [("synpat", "families"), ("synpat", "render", "--help")])
def test_synpat_starts_without_torch(arguments: tuple[str, ...]):
    done = start("from synpat.cli import main; main()", {"torch", "torchvision", "timm", "synpat_train"}, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_the_trainer_starts_without_numba_and_opencv(command: str):
    code = f"from synpat_train.start import {command}; {command}()"
    done = start(code, {"numba", "llvmlite", "cv2", "synpat"}, "synpat-train", "--help")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("command", "program"), [("train", "synpat-train"), ("evaluate", "synpat-eval")])
def test_a_missing_extra_is_reported_with_the_command_that_installs_it(command: str, program: str):
    done = start(f"from synpat_train.start import {command}; {command}()", {"torch"}, program, "--help")
    assert done.returncode == 1
    assert done.stderr == f"Error: {program} needs torch, which is not installed: pip install 'synpat[train]'\n"


def test_out_of_memory_on_the_gpu_is_reported_in_one_line():
    code = """
import torch
import synpat_train.cli
def full(prog_name):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\\nAnd more of it")
synpat_train.cli.main = full
from synpat_train.start import train
train()
"""
    done = start(code, set(), "synpat-train")
    assert done.returncode == 1
    assert done.stderr == "Error: the GPU's memory is full: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
