"""What importing costs, and what the wheel holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "prefect", "sklearn", "faiss", "matplotlib", "sqlalchemy", "pyarrow", "ultralytics", "sam2", "ray")


@pytest.mark.parametrize("module", ["alloop", "alloop.cli", "alloop.nouns", "alloop.errors"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_importing_takes_less_than_half_a_second() -> None:
    program = "import time; start = time.process_time(); import alloop, alloop.cli; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert float(done.stdout) < 0.5


def test_torch_is_loaded_only_by_a_model_that_needs_it() -> None:
    program = "import sys, alloop.workspace, alloop.cycle; print('torch' in sys.modules, 'prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False False"


def test_the_wheel_holds_alloop_only(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, capture_output=True, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"alloop"}
    assert {"alloop/report.html", "alloop/template.toml", "alloop/py.typed"} <= set(names)
    assert any("migrations/versions/0001" in name for name in names)
