"""The labels that alloop gives a CVAT project, and whether a project has them."""

from collections.abc import Collection, Mapping, Sequence

from alloop.annotation.cvat_client import Api, Record
from alloop.annotation.form import Form
from alloop.errors import ConfigError
from alloop.nouns import Task

__all__ = ["UNCLEAR", "check_labels", "differences", "ensured_project", "found_project", "label_names"]

UNCLEAR = "unclear"
"""The tag of an annotator who cannot tell."""
TAG = "tag"
ANY = "any"
"""The type of a label that can be drawn as any shape."""
TYPES: Mapping[Task, str] = {Task.CLASSIFY: TAG, Task.DETECT: "rectangle", Task.SEGMENT: ANY}
"""Segments are polygons or masks, and CVAT has no type for just these two."""


def check_labels(labels: Sequence[str]) -> None:
    """ConfigError when a label has the name that says "nobody can tell"."""
    if UNCLEAR in labels:
        raise ConfigError(f"the label {UNCLEAR!r} means in CVAT that nobody can tell; give it another name")


def found_project(api: Api, title: str, form: Form) -> int | None:
    """The id of the project called `title`; None when there is none.

    ConfigError when there are several, or its labels are not those of `form`.
    """
    ids = [row["id"] for row in api.each("projects", name=title) if row["name"] == title]
    if len(ids) > 1:
        raise ConfigError(f"CVAT has {len(ids)} projects {title!r} ({ids}); rename all but one")
    if not ids:
        return None
    apart = differences(list(api.each("labels", project_id=ids[0])), form)
    if apart:
        raise ConfigError(
            f"the CVAT project {title!r} ({ids[0]}) is set up for something else: {'; '.join(apart)}; "
            "change its labels, or give annotation.cvat.project another name"
        )
    return int(ids[0])


def ensured_project(api: Api, title: str, form: Form) -> int:
    """The id of the project called `title`, made with the labels of `form` if it is missing."""
    found = found_project(api, title, form)
    if found is not None:
        return found
    labels = [api.body("PatchedLabelRequest", name=name, type=kind) for name, kind in _wanted(form).items()]
    made = api.ask(
        "projects", "create", project_write_request=api.body("ProjectWriteRequest", name=title, labels=labels)
    )
    return int(made["id"])


def label_names(api: Api, project: int) -> dict[int, str]:
    """{label id: name} of a project."""
    return {row["id"]: row["name"] for row in api.each("labels", project_id=project)}


def differences(labels: Collection[Record], form: Form) -> list[str]:
    """What sets a project's labels apart from ours, a phrase each; none when answers mean the same."""
    wanted = _wanted(form)
    found = {label["name"]: label.get("type") or ANY for label in labels if not label.get("parent_id")}
    missing = [f"label {name!r} ({kind}) is missing" for name, kind in wanted.items() if name not in found]
    extra = [f"label {name!r} is one too many" for name in sorted(set(found) - set(wanted))]
    both = [(name, found[name], kind) for name, kind in wanted.items() if name in found]
    return (
        missing
        + extra
        + [
            f"label {name!r} is of type {is_now} instead of {kind}"
            for name, is_now, kind in both
            if is_now not in (kind, ANY)
        ]
    )


def _wanted(form: Form) -> dict[str, str]:
    return dict.fromkeys(form.labels, TYPES[form.task]) | {UNCLEAR: TAG}
