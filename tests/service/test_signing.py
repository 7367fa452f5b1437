"""Signed addresses: ours open, anything else does not."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.errors import Forged
from alloop.signing import Signer

NOW = datetime(2026, 11, 23, 16, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
A, B = "a" * 64, "b" * 64
SIGNER = Signer("birds", b"a key")


def signed(signer=SIGNER, sample=A, expires=LATER):
    """{expires, signature} of an address."""
    query = parse_qs(urlsplit(signer.path(sample, expires=expires)).query)
    return {name: value for name, (value,) in query.items()}


def test_an_address_of_ours_is_good_until_it_expires():
    assert SIGNER.check(A, **signed(), now=NOW) == 3600


def test_the_path_names_the_sample():
    assert SIGNER.path(A, expires=LATER).startswith(f"/images/{A}?expires=1795453200&signature=")


def test_the_moment_of_expiry_is_too_late():
    with pytest.raises(Forged, match="expired 0 s ago"):
        SIGNER.check(A, **signed(), now=LATER)


def test_a_signature_opens_one_sample_only():
    with pytest.raises(Forged):
        SIGNER.check(B, **signed(), now=NOW)


def test_an_expiry_cannot_be_moved():
    later = str(int(signed()["expires"]) + 1)
    with pytest.raises(Forged):
        SIGNER.check(A, expires=later, signature=signed()["signature"], now=NOW)


@pytest.mark.parametrize("other", [Signer("bees", b"a key"), Signer("birds", b"another key")])
def test_another_project_or_key_signs_differently(other):
    with pytest.raises(Forged):
        SIGNER.check(A, **signed(other), now=NOW)


@pytest.mark.parametrize("expires", ["", "0", "0" + "1795453200", "-1", "1e9", "1795453200 ", "9" * 13, "\u0661"])
def test_an_expiry_that_is_no_plain_number_is_forged(expires):
    with pytest.raises(Forged):
        SIGNER.check(A, expires=expires, signature=signed()["signature"], now=NOW)


@given(signature=st.text())
def test_any_other_signature_is_forged(signature):
    with pytest.raises(Forged):
        SIGNER.check(A, expires=signed()["expires"], signature=signature, now=NOW)


@given(sample=st.text(), seconds=st.integers(min_value=1, max_value=10**9))
def test_whatever_is_signed_is_good(sample, seconds):
    there = signed(sample=sample, expires=NOW + timedelta(seconds=seconds))
    assert SIGNER.check(sample, **there, now=NOW) == seconds


def test_the_key_is_not_shown():
    assert "a key" not in repr(SIGNER)


def test_an_empty_key_signs_nothing():
    with pytest.raises(ValueError, match="ALLOOP_SERVICE__SIGNING_KEY"):
        Signer("birds", b"")
