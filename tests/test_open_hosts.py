"""Addresses that strangers wrote lead to the public web, and not into the network that alloop runs in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.errors import BadImage
from alloop.open_hosts import OpenHosts

UNKNOWN = "x" * 64
"""No name is as long as that, so nobody is asked for it."""
PUBLIC = "https://93.184.216.34/a.png"
INNER = [
    "http://127.0.0.1/a.png",
    "http://127.0.0.1./a.png",
    "http://127.1/a.png",
    "http://2130706433/a.png",
    "http://0x7f.0.0.1/a.png",
    "http://0/a.png",
    "http://localhost/a.png",
    "http://LOCALHOST:4200/a.png",
    "http://10.0.0.5/a.png",
    "http://172.16.3.4/a.png",
    "http://192.168.1.1/a.png",
    "http://100.64.0.1/a.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://somebody:secret@169.254.169.254/a.png",
    "http://[::1]/a.png",
    "http://[fe80::1]/a.png",
    "http://[fd00::1]/a.png",
    "http://[::ffff:127.0.0.1]/a.png",
    "http://[2002:7f00:1::]/a.png",
    "http://224.0.0.1/a.png",
]


@pytest.mark.parametrize("address", INNER)
def test_an_inner_network_is_out_of_bounds(address):
    with pytest.raises(BadImage, match=r"leads into an inner network .*image_hosts"):
        OpenHosts("http://labels.example:8080").check(address)


@pytest.mark.parametrize("address", [PUBLIC, "http://[2606:2800:220:1::1]:81/a.png", f"https://{UNKNOWN}/a.png"])
def test_the_public_web_is_open(address):
    OpenHosts("http://labels.example:8080").check(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080/a.png", "http://u:p@127.0.0.1:8080/a.png"])
def test_the_server_itself_is_open(address):
    OpenHosts("http://127.0.0.1:8080").check(address)


@pytest.mark.parametrize("address", ["http://127.0.0.1/a.png", "http://127.0.0.1:4200/a.png", "http://localhost:1/"])
def test_its_neighbours_on_the_same_machine_are_not(address):
    with pytest.raises(BadImage, match="inner network"):
        OpenHosts("http://127.0.0.1:8080").check(address)


def test_a_host_that_is_allowed_is_open_at_all_ports_and_others_are_not():
    hosts = OpenHosts("http://labels.example", ["10.0.0.5"])
    hosts.check("http://10.0.0.5:9000/a.png")
    with pytest.raises(BadImage, match="inner network"):
        hosts.check("http://10.0.0.6:9000/a.png")


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http:///a.png",
        "http://[::1/a.png",
        "http://a:b/",
        "http://1.1.1.1\\@127.0.0.1/",
        "http://a b/",
        "http://../",
        "http://127%2e1/",
        "http://a\n/",
    ],
)
def test_what_can_be_read_in_two_ways_is_no_address(address):
    with pytest.raises(BadImage, match="no address of a web server"):
        OpenHosts("http://labels.example").check(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_open_exactly_when_it_is_public(address):
    hosts = OpenHosts("http://labels.example")
    if address.is_global and not address.is_multicast:
        hosts.check(f"http://{address}/a.png")
    else:
        with pytest.raises(BadImage):
            hosts.check(f"http://{address}/a.png")
