"""Files of the hub's data sets, and what to do where they cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_apart(repository: str, instead: str) -> Iterator[None]:
    """Around a download: says whether terms are to be accepted first, or the hub cannot be reached.

    Raises:
        PermissionError: the data set is gated.
        FileNotFoundError: there is no such data set, or no network; do what `instead` says.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise PermissionError(
            f"{repository} is gated: accept its terms on its page at huggingface.co/datasets/{repository}, "
            "then run `hf auth login` with a token of that account, and try again"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise FileNotFoundError(
            f"{repository} could not be fetched from the hub: {type(error).__name__}. "
            f"Check the network, or {instead}"
        ) from error
