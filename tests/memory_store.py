"""A store of samples that really keeps them, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from alloop.nouns import Split
from alloop.pool import AddReport, Cause, Fingerprint, Found, SetAside


class MemoryStore:
    """A SampleStore in two dicts."""

    def __init__(self) -> None:
        self.found: dict[str, Found] = {}
        self.aside: dict[str, SetAside] = {}

    def known(self, uris: Sequence[str]) -> Mapping[str, Fingerprint]:
        return {
            uri: Fingerprint(one.sample, one.size_bytes, one.mtime_ns, one.width, one.height)
            for uri in uris
            if (one := self.found.get(uri)) is not None
        }

    def add_samples(self, found: Sequence[Found]) -> AddReport:
        by_id = {one.sample.id: one.sample.uri for one in self.found.values()}
        holdout = {one.sample.group for one in self.found.values() if one.sample.split is Split.HOLDOUT}
        added, refused = [], []
        for one in found:
            sample = one.sample
            if (first := by_id.get(sample.id, sample.uri)) != sample.uri:
                refused.append(SetAside(sample.uri, Cause.DUPLICATE, f"is an exact copy of {first}"))
            elif sample.group is not None and sample.split is Split.POOL and sample.group in holdout:
                refused.append(SetAside(sample.uri, Cause.HOLDOUT, f"its group {sample.group!r} is in the holdout"))
            elif sample.uri in self.found:
                self.found[sample.uri] = replace(one, sample=self.found[sample.uri].sample)
            else:
                self.found[sample.uri] = one
                self.aside.pop(sample.uri, None)
                added.append(sample.uri)
        return AddReport(tuple(added), tuple(refused))

    def set_aside(self, refusals: Sequence[SetAside]) -> None:
        self.aside |= {one.uri: one for one in refusals}
