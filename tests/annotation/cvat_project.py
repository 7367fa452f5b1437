"""A small project on the fake CVAT."""

from pydantic import SecretStr

from alloop.annotation.cvat import CvatTool, Place
from alloop.annotation.cvat_client import Access, Server
from alloop.annotation.form import Form
from alloop.nouns import Batch, BatchItem, Box, Content, Lane, Prelabel, Sample, Task
from tests.annotation.fake_cvat import SIZE, TOKEN

__all__ = ["BOX", "CAT", "DOG", "batch_of", "make_tool", "shown", "told"]

CAT, DOG = Content("cat"), Content("dog")
BOX = Content(boxes=(Box("cat", 1.5, 2.25, 10, 20),))


def make_tool(fake, task=Task.CLASSIFY, *, job_size=2, labels=("cat", "dog"), **changes):
    place = {"title": "Signs", "name": "signs", "job_size": job_size} | changes.pop("place", {})
    usual = {
        "image_url": lambda sample: f"http://loop:8000/images/{sample.id}.jpg?signature=s3cret",
        "size_of": lambda samples: dict.fromkeys(samples, SIZE),
    }
    server = Server(fake.url, Access(SecretStr(TOKEN)))
    return CvatTool(server, Place(**place), form=Form(task, labels), **usual | changes)


def batch_of(names, *, cycle=3, content=CAT, **fields):
    """A batch of samples with these names, in their order, pre-labelled by v3 unless `fields` say otherwise."""
    usual = {"lane": Lane.ACTIVE, "prelabel": content and Prelabel("v3", content, 0.75)}
    items = [BatchItem(Sample(name, f"{name}.png"), rank=rank, **usual | fields) for rank, name in enumerate(names)]
    return Batch("signs", cycle, tuple(items))


def told(changes):
    return {label.sample_id: label for label in changes.labels}


def shown(fake, ref):
    """What lies on the frame of a ref, as (label or kind, source)."""
    frame = int(ref.split(":")[1])
    job = fake.job_at(ref)
    return [
        (mark.get("type", fake.labels[mark["label_id"]]["name"]), mark["source"])
        for mark in (*job["shapes"], *job["tags"])
        if mark["frame"] == frame
    ]
