"""The global concurrency limit that keeps two jobs off one graphics card."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

__all__ = ["make_limit"]


def make_limit(name: str) -> None:
    """A global limit of one slot, unless there is one of that name: somebody may have more cards, and have said so."""
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            try:
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
            except ObjectAlreadyExists:  # made by another project just now
                return
