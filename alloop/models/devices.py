"""Where torch computes, with how many threads, and from which seed; all global state is put back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from alloop.errors import ConfigError

__all__ = ["limited_threads", "pick_device", "seeded"]


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the GPU when there is one. ConfigError when it is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f'device {name!r} cannot be used ({reason}); set device = "auto" or "cpu"') from error
    return device


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Within it torch computes with `count` threads; 0 leaves torch as it is."""
    if count == 0:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within it torch's global generators start from `seed` and cuDNN repeats itself; afterwards they are as before."""
    cuda = [torch.cuda.current_device() if device.index is None else device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), torch.backends.cudnn.flags(enabled=True, deterministic=True):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
