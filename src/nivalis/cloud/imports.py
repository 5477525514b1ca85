"""From a file to an image of a cloud: uploaded to Orbit, fetched from there by the cloud, and taken away again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nivalis.cloud.api import Brightbox
from nivalis.cloud.errors import FailedResourceError
from nivalis.cloud.models import Image
from nivalis.cloud.orbit import Orbit

__all__ = ["CONTAINER", "IMPORT_DEADLINE", "import_file"]

# A container called `images` is the cloud's own.
CONTAINER = "nivalis"
# The real cloud takes some 20 s for an image of 500 MB.
IMPORT_DEADLINE = 1800.0


def import_file(
    cloud: Brightbox,
    orbit: Orbit,
    file: Path,
    *,
    on_progress: Callable[[int, int | None], object] | None = None,
    on_retry: Callable[[str], object] | None = None,
    on_import: Callable[[Image], object] = lambda image: None,
    deadline: float = IMPORT_DEADLINE,
    **fields: Any,
) -> Image:
    """The image that is available in the end; `fields` are those of `Images.register`, `deadline` is that of the import, in seconds.

    `on_progress` and `on_retry` are told of the upload, and `on_import` when it is done.  What is uploaded when this is given up is not
    sent again; while the cloud may still be fetching it, it stays where it is.  Raises CloudError, and OSError of the file.
    """
    orbit.upload(CONTAINER, file.name, file, on_progress=on_progress, on_retry=on_retry)
    # It may begin late, and must not end before it has.
    address = orbit.temp_url(CONTAINER, file.name, lasts=2 * deadline)
    image = cloud.images.register(http_url=address, **{**fields, "name": fields.get("name") or file.name})
    on_import(image)
    try:
        image = cloud.images.wait(image.id, {"available"}, deadline=deadline)
    except FailedResourceError:
        orbit.delete(CONTAINER, file.name)
        raise
    orbit.delete(CONTAINER, file.name)
    return image
