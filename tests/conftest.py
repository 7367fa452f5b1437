"""Before anything is imported: one thread per process, since test processes that compete for cores take 60 times longer."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")  # the Postgres wheel warns without one

from hypothesis import settings  # noqa: E402  (after the variables)

settings.register_profile("alloop", deadline=None)  # what takes 200 ms on a busy machine is no fault
settings.load_profile("alloop")
