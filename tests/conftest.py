"""Settings of all tests, and the fixtures that several of them share."""

import hashlib
import os
import tempfile
from pathlib import Path

# Numba's cache does not notice a change in another file: give each state of the sources a cache of its own. This must
# come before numba is imported, and commands started by tests inherit it.
_families = Path(__file__).parents[1] / "generators"
_state = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_families.rglob("*.py")))).hexdigest()[:16]
os.environ.setdefault("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/synpat-numba-{_state}")

# Small models gain nothing from a second thread, and lose much where another program has the core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The first example compiles kernels; and the same examples each time, so that a red run is red again.
settings.register_profile("synpat", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("synpat")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden pictures instead of comparing")


@pytest.fixture(scope="session")
def perlin_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished set: 100 perlin patterns of 80x208 in 4 shards."""
    from synpat.render import make_recipe, render_set

    folder = tmp_path_factory.mktemp("sets") / "perlin"
    render_set(folder, make_recipe("perlin", 100, samples_per_shard=25), workers=1, progress=lambda *_: None)
    return folder
