"""The README.txt that tells annotators how to answer a batch that lies in a folder."""

import json

from alloop.nouns import Task

__all__ = ["instructions"]

PAGE = """\
How to label this batch
=======================

Each line of tasks.jsonl is one image, the most wanted first; 'image' is the file to look at. A 'prelabel', where
there is one, is what the model would answer: a help, not the truth.

Write your answers to a file labels.jsonl beside this one, a line each, in any order:

{examples}

'sample' is the task's 'sample', at least its first 12 characters, or its 'ref'.

Labels: {labels}

Instead of an answer a line can have an outcome:
  unclear    nobody could tell; the image leaves the pool for good
  skipped    I could not tell; it counts as unclear, and the image leaves the pool for good as well
  rejected   not a usable image, or the file is missing or broken
To leave an image for later, or to somebody else, write no line for it.

A line may also have: annotator (your name), lead_time_s (seconds it took), updated_at (like 2026-01-31T12:00:00Z).
Write a second line for the same image to change an answer: the last one counts, whoever wrote the two and whatever time
they tell. Remove a line to take it back.
Where a task has 'annotators', so many people answer it without looking at each other's answers, each with a line that
names its annotator. Where its 'lane' is relabel, people disagreed: somebody else answers it, by name as well. In both cases
everybody's own last line counts.
A line that cannot be used is refused with its number and the reason, which 'alloop status' tells; the others are kept.
"""


def instructions(task: Task, labels: tuple[str, ...]) -> str:
    """The page for annotators who do `task` with this label set."""
    box = {"label": labels[0], "x0": 10, "y0": 20, "x1": 110, "y1": 90}
    if task is Task.SEGMENT:
        box["polygon"] = [[10, 20], [110, 20], [60, 90]]
    answers = [{"label": labels[0]}] if task is Task.CLASSIFY else [{"boxes": [box]}, {"boxes": []}]
    lines = [{"sample": "0123456789ab", **answer} for answer in (*answers, {"outcome": "unclear"})]
    examples = "\n".join(f"  {json.dumps(line, ensure_ascii=False)}" for line in lines)
    return PAGE.format(examples=examples, labels=", ".join(labels)) + (BOXES if task is not Task.CLASSIFY else "")


BOXES = """
Boxes are in pixels of the upright image: x to the right and y down from its top left corner, x0 < x1 and y0 < y1.
An empty list says that there is nothing to be seen.
"""
