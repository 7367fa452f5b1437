import hashlib
import multiprocessing

import pytest

from alloop.errors import ModelCorrupt
from alloop.registry import Registry


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return path


SHA256 = hashlib.sha256(b"weights").hexdigest()


def test_a_file_is_found_by_its_hash(registry, file):
    assert registry.store(file) == SHA256
    assert registry.path(SHA256).read_bytes() == b"weights"


def test_the_original_stays(registry, file):
    registry.store(file)
    assert file.read_bytes() == b"weights"


def test_storing_twice_is_storing_once(registry, file, tmp_path):
    assert registry.store(file) == registry.store(file)
    assert [path.name for path in (tmp_path / "models").iterdir()] == [SHA256]


def test_what_is_stored_can_be_stored_again(registry, file):
    assert registry.store(registry.path(registry.store(file))) == SHA256


def test_other_bytes_under_the_hash_are_refused(registry, file):
    registry.path(registry.store(file)).write_bytes(b"tampered")
    found = hashlib.sha256(b"tampered").hexdigest()
    with pytest.raises(ModelCorrupt, match=f"expected sha256 {SHA256}, found {found}; restore"):
        registry.path(SHA256)


def test_storing_mends_a_damaged_file(registry, file):
    registry.path(registry.store(file)).write_bytes(b"tampered")
    registry.store(file)
    assert registry.path(SHA256).read_bytes() == b"weights"


def test_a_missing_file_is_refused(registry):
    with pytest.raises(ModelCorrupt, match=SHA256):
        registry.path(SHA256)


@pytest.mark.parametrize("name", ["../model.bin", "", "abc", SHA256.upper()])
def test_only_a_hash_names_a_file(registry, file, name):
    with pytest.raises(ModelCorrupt, match="not a sha256"):
        registry.path(name)


def test_there_must_be_a_file_to_store(registry, tmp_path):
    with pytest.raises(ModelCorrupt, match="nothing"):
        registry.store(tmp_path / "nothing")
    assert list((tmp_path / "models").iterdir()) == []


def test_many_processes_store_the_same_file(registry, file, tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert set(pool.map(registry.store, [file] * 9)) == {SHA256}
    assert [path.name for path in (tmp_path / "models").iterdir()] == [SHA256]
