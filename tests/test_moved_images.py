"""What a Label Studio task says of its image never leads anywhere that it should not."""

from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from alloop.errors import BadImage
from alloop.moved_images import MovedImages

SECRET = "/etc/hostname"


def images(folder, *, url="http://fake", **options):
    """Those of a server that is never asked for one."""
    return MovedImages(None, url, **{"folder": folder, "local_root": folder / "disk"} | options)


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "disk"


@pytest.mark.parametrize(
    "place",
    [
        f"file://{SECRET}",
        f"FILE://{SECRET}",
        f"local:/{SECRET}",
        "memory://a.png",
        "ssh://host/a.png",
        "github://a:b@main/a.png",
        "simplecache::ssh://host/a.png",
        f"simplecache::file://{SECRET}",
        "zip://a.png::https://93.184.216.34/a.zip",
    ],
)
def test_only_the_web_and_buckets_are_read(disk, place):
    with pytest.raises(BadImage, match="is not at http, https, s3, gs"):
        images(disk.parent).uri_of(1, place)


@pytest.mark.parametrize("place", [f"https://93.184.216.34/a.zip::file://{SECRET}", f"s3://bucket/a::file://{SECRET}"])
def test_addresses_are_not_chained(disk, place):
    with pytest.raises(BadImage, match="chains addresses with '::'"):
        images(disk.parent).uri_of(1, place)


@pytest.mark.parametrize("place", ["http://169.254.169.254/latest/meta-data/", "https://127.0.0.1:8090/images/a.png"])
def test_the_inner_network_is_not_asked(disk, place):
    with pytest.raises(BadImage, match="leads into an inner network"):
        images(disk.parent).uri_of(1, place)


def test_hosts_of_the_inner_network_can_be_allowed(disk):
    place = "http://10.0.0.5:9000/a.png"
    assert images(disk.parent, hosts=("10.0.0.5",)).uri_of(1, place) == place


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ("s3://bucket/a b.png", "s3://bucket/a b.png"),
        ("gs://bucket/a.png", "gs://bucket/a.png"),
        ("HTTPS://93.184.216.34/a.png?size=1", "https://93.184.216.34/a.png?size=1"),
        ("http://127.0.0.1:8080/static/a.png", "http://127.0.0.1:8080/static/a.png"),
    ],
)
def test_buckets_the_web_and_the_server_itself_are_read(disk, place, uri):
    assert images(disk.parent, url="http://127.0.0.1:8080").uri_of(1, place) == uri


def test_a_path_on_the_server_is_none_on_this_machine(disk):
    assert images(disk.parent).uri_of(1, f"http://fake{SECRET}") == f"http://fake{SECRET}"


def test_a_server_whose_name_only_begins_like_label_studios_is_another_one(disk):
    place = "http://fake.example/data/upload/1/a.png"
    assert images(disk.parent, hosts=("fake.example",)).uri_of(1, place) == place


def test_a_path_under_the_local_root_is_read(disk):
    assert images(disk.parent).uri_of(1, f"{disk}/sub/../a.png") == str(disk / "a.png")


@pytest.mark.parametrize(
    "place", ["{disk}/link.png", "/data/local-files/?d=link.png", "/data/local-files/?d=folder/secret.png"]
)
def test_links_do_not_lead_out_of_the_local_root(disk, place):
    (disk / "link.png").symlink_to(disk.parent / "secret.png")
    (disk / "folder").symlink_to(disk.parent)
    with pytest.raises(BadImage, match="leads out of"):
        images(disk.parent).uri_of(1, place.format(disk=disk))


@pytest.mark.parametrize(
    "place", [SECRET, "{disk}/../secret.png", "/data/local-files/?d=../secret.png", "{disk}x/a.png"]
)
def test_dots_and_other_paths_do_not_either(disk, place):
    with pytest.raises(BadImage, match="leads out of"):
        images(disk.parent).uri_of(1, place.format(disk=disk))


def test_a_circle_of_links_is_no_path(disk):
    (disk / "a.png").symlink_to(disk / "a.png")
    with pytest.raises(BadImage, match="is no path"):
        images(disk.parent).uri_of(1, "/data/local-files/?d=a.png")


def test_a_zero_byte_is_no_part_of_a_path(disk):
    with pytest.raises(BadImage, match="is no path"):
        images(disk.parent).uri_of(1, "/data/local-files/?d=%00")


@pytest.mark.parametrize("place", [SECRET, "{disk}/a.png"])
def test_without_a_local_root_no_path_is_read(disk, place):
    with pytest.raises(BadImage, match=r"set \[annotation\.label_studio\] local_root to the folder it lies in"):
        images(disk.parent, local_root=None).uri_of(1, place.format(disk=disk))


PARTS = ["/somewhere/disk", "/", "..", "file://", "s3://", "::", "/data/local-files/?d=", "%2e%2e", "a", "\0", "@", ""]


def test_whatever_a_task_says_it_stays_inside():
    found = set()
    for parts in product(PARTS, repeat=4):
        with suppress(BadImage):
            found.add(images(Path("/somewhere")).uri_of(1, "".join(parts)))
    assert {"/somewhere/disk", "/somewhere/disk/a", "s3://a/"} <= found
    paths = {uri for uri in found if not uri.startswith("s3://")}
    assert all(Path(uri).is_relative_to("/somewhere/disk") and ".." not in Path(uri).parts for uri in paths)
    assert not any("://" in uri for uri in paths)  # fsspec would take it for an address
    assert not any("::" in uri for uri in found - paths)
