import pytest
from pydantic import SecretStr

from alloop.annotation.cvat import CvatTool, Place
from alloop.annotation.cvat_client import Access, Server
from alloop.annotation.form import Form
from alloop.nouns import Task
from alloop.testing.annotation_contract import LABELS, AnnotationToolContract, SharedSampleContract
from tests.annotation.fake_cvat import SIZE, TOKEN, FakeCvat


def make_tool(fake):
    """A tool whose jobs have one image each, so that people finish one sample at a time."""
    return CvatTool(
        Server(fake.url, Access(SecretStr(TOKEN))),
        Place("Signs", "contract", job_size=1),
        form=Form(Task.CLASSIFY, LABELS),
        image_url=lambda sample: f"https://images.example/{sample.id}.jpg",
        size_of=lambda samples: dict.fromkeys(samples, SIZE),
    )


@pytest.fixture
def fake():
    with FakeCvat().serving() as fake:
        yield fake


class OnTheFake:
    @pytest.fixture(autouse=True)
    def _server(self, fake):
        self.fake = fake

    def make_tool(self, home):
        return make_tool(self.fake)

    def answer(self, tool, batch, *, count):
        """The jobs that are new are completed in the order in which CVAT shows them, by a colleague for each replica."""
        refs = tool.push(batch)
        jobs = [
            job
            for item in sorted(batch.items, key=lambda item: item.rank)
            for job in self.fake.jobs_at(refs[item.sample.id])
        ]
        for job in [job for job in jobs if job["state"] == "new"][:count]:
            self.fake.complete(job, who=f"colleague-{job['id'] - self.fake.jobs_at(ref_of(job))[0]['id']}")


def ref_of(job):
    return f"{job['task_id']}:{job['start_frame']}"


class TestContract(OnTheFake, AnnotationToolContract):
    pass


class TestSharedSamples(OnTheFake, SharedSampleContract):
    # CVAT lets whoever picks a job, or is assigned to it, answer: alloop cannot ask somebody else there
    test_who_disagreed_is_asked_last_when_it_is_asked_again = None
