"""Hints: what is genuine is told apart from what is not, and nothing secret is kept."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.annotation.hints import (
    KEPT,
    MAX_BYTES,
    PARSERS,
    BadHint,
    parse_cvat,
    parse_generic,
    parse_label_studio,
    sign_generic,
)
from alloop.errors import Forged

SECRET = "5a1f0c2e9b7d4a36"
NOW = datetime(2026, 11, 23, 16, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))

CREATED = {
    "action": "ANNOTATION_CREATED",
    "annotation": {
        "id": 30,
        "result": [{"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": ["cat"]}}],
        "was_cancelled": False,
        "updated_at": "2026-11-23T16:01:46.593807Z",
        "task": 11085,
        "completed_by": 1,
    },
    "project": {
        "id": 11,
        "title": "hooktest",
        "total_annotations_number": 1,
        "token": "0f9c1d",
        "task_data_login": None,
        "task_data_password": "hunter2",
    },
    "task": {
        "id": 11085,
        "data": {"image": "/images/i0?expires=9&signature=ab12", "item_id": "i0"},
        "is_labeled": True,
    },
}
"""What Label Studio 1.23.2 sent when an annotation was submitted, shortened, with secrets made up."""
COMPLETED = {
    "event": "update:job",
    "job": {"id": 7, "task_id": 3, "state": "completed", "stage": "acceptance", "updated_date": "2026-11-23T16:00:00Z"},
    "before_update": {"state": "in progress"},
    "webhook_id": 1,
}
"""A job that was completed, as CVAT's documentation shows it."""


def label_studio(body=CREATED, *, token=SECRET, now=NOW):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_label_studio({"X-Alloop-Token": token}, raw, SECRET, now)


def cvat_signature(raw, secret=SECRET):
    return "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def cvat(raw, **headers):
    return parse_cvat({"X-Signature-256": cvat_signature(raw)} | headers, raw, SECRET, NOW)


def generic(raw, *, stamp=STAMP, signature=None, now=NOW):
    signed = sign_generic(raw, SECRET, timestamp=stamp) if signature is None else signature
    return parse_generic({"X-Alloop-Timestamp": stamp, "X-Alloop-Signature": signed}, raw, SECRET, now)


def genuine(tool, raw, secret=SECRET):
    """Headers that make any body genuine."""
    return {
        "label-studio": {"X-Alloop-Token": secret},
        "cvat": {"X-Signature-256": cvat_signature(raw, secret)},
        "generic": {"X-Alloop-Timestamp": STAMP, "X-Alloop-Signature": sign_generic(raw, secret, timestamp=STAMP)},
    }[tool]


def test_label_studio_names_its_event():
    hint = label_studio()
    assert (hint.tool, hint.event, hint.project) == ("label-studio", "ANNOTATION_CREATED", None)


def test_a_header_is_found_whatever_its_case():
    assert parse_label_studio({"x-ALLOOP-token": SECRET}, b'{"action": "A"}', SECRET, NOW).event == "A"


@pytest.mark.parametrize("token", ["", "wrong", SECRET[:-1], SECRET + "0", SECRET.upper(), "\u00e9\udcff"])
def test_another_token_is_forged(token):
    with pytest.raises(Forged):
        label_studio(token=token)


@pytest.mark.parametrize("tool", PARSERS)
def test_without_a_header_it_is_forged(tool):
    with pytest.raises(Forged):
        PARSERS[tool]({}, b'{"action": "A", "event": "A"}', SECRET, NOW)


@pytest.mark.parametrize("tool", PARSERS)
def test_an_empty_secret_makes_nothing_genuine(tool):
    raw = b'{"action": "A", "event": "A"}'
    with pytest.raises(Forged, match="ALLOOP_SERVICE__WEBHOOK_SECRET"):
        PARSERS[tool](genuine(tool, raw, secret=""), raw, "", NOW)


@pytest.mark.parametrize("tool", PARSERS)
def test_an_error_never_shows_the_secret(tool):
    with pytest.raises(Forged) as error:
        PARSERS[tool]({"X-Alloop-Token": SECRET + "x"}, b"{}", SECRET, NOW)
    assert SECRET not in str(error.value)


def test_cvat_signs_the_raw_body():
    assert cvat(json.dumps(COMPLETED).encode()).event == "update:job"


def test_a_signature_of_another_body_is_forged():
    with pytest.raises(Forged):
        cvat(json.dumps(COMPLETED).encode(), **{"X-Signature-256": cvat_signature(b"{}")})


def test_a_bare_hexadecimal_signature_is_forged():
    raw = json.dumps(COMPLETED).encode()
    with pytest.raises(Forged):
        cvat(raw, **{"X-Signature-256": cvat_signature(raw).removeprefix("sha256=")})


def test_a_generic_delivery_may_name_its_project():
    assert generic(b'{"event": "done", "project": "birds"}').project == "birds"


def test_the_generic_signature_is_that_of_timestamp_full_stop_body():
    signed = hmac.new(SECRET.encode(), STAMP.encode() + b'.{"event": "done"}', hashlib.sha256).hexdigest()
    assert generic(b'{"event": "done"}', signature=f"sha256={signed}").event == "done"


@pytest.mark.parametrize("seconds", [-301, 301, -86400])
def test_a_replay_is_forged(seconds):
    with pytest.raises(Forged, match="last five minutes"):
        generic(b'{"event": "done"}', now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_five_minutes_either_way_are_allowed(seconds):
    assert generic(b'{"event": "done"}', now=NOW + timedelta(seconds=seconds))


def test_another_timestamp_breaks_the_signature():
    raw, later = b'{"event": "done"}', str(int(STAMP) + 1)
    with pytest.raises(Forged):
        generic(raw, stamp=later, signature=sign_generic(raw, SECRET, timestamp=STAMP))


@pytest.mark.parametrize("stamp", ["", "now", "-5", "1e9", "9" * 400, "\u0661\u0662"])
def test_a_timestamp_that_is_none_is_forged_even_when_it_is_signed(stamp):
    with pytest.raises(Forged):
        generic(b'{"event": "done"}', stamp=stamp)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe\xfa",
        b"{",
        b"{}",
        b'{"action": 7}',
        b'{"action": ""}',
        b'{"action": "A\\nB"}',
        b'{"action": "A\\u0000"}',
        b'{"action": "' + b"A" * 65 + b'"}',
        b'{"action": "A", "x": NaN}',
        b'{"action": "A", "x": Infinity}',
        b'{"action": "A", "x": 1e999}',
        b'{"action": "A", "x": ' + b"9" * 5000 + b"}",
        b'{"action": "A", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"action": "A", "annotation": {"id": 1e999, "updated_at": "now"}}',
    ],
    ids=lambda raw: raw[:24].decode(errors="replace"),
)
def test_what_cannot_be_read_is_a_bad_hint(raw):
    with pytest.raises(BadHint) as error:
        label_studio(raw)
    assert "\n" not in str(error.value)


def test_a_body_that_is_too_large_is_not_parsed():
    with pytest.raises(BadHint, match=str(MAX_BYTES)):
        label_studio(b" " * (MAX_BYTES + 1))


def test_a_project_that_is_no_name_is_a_bad_hint():
    with pytest.raises(BadHint, match="project is int"):
        generic(b'{"event": "done", "project": 7}')


def test_the_same_delivery_again_has_the_same_key():
    assert label_studio().key == label_studio(now=NOW + timedelta(hours=1)).key


def test_a_second_webhook_for_the_same_annotation_has_the_same_key():
    counted = CREATED | {"project": CREATED["project"] | {"total_annotations_number": 2}}
    assert label_studio(counted).key == label_studio().key


def test_a_later_version_of_the_annotation_has_another_key():
    edited = CREATED | {"annotation": CREATED["annotation"] | {"updated_at": "2026-11-23T16:02:00Z"}}
    assert label_studio(edited).key != label_studio().key


def test_a_deleted_annotation_has_another_key_than_its_neighbour():
    keys = {label_studio({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": n}]}).key for n in (34, 35)}
    assert len(keys) == 2


def test_without_a_payload_every_second_is_something_new():
    bare = {"action": "ANNOTATION_CREATED"}
    assert label_studio(bare).key != label_studio(bare, now=NOW + timedelta(seconds=1)).key


def test_two_tools_that_say_the_same_have_two_keys():
    raw = json.dumps({"event": "done"}).encode()
    assert cvat(raw).key != generic(raw).key


@pytest.mark.parametrize("secret", ["0f9c1d", "hunter2", "ab12"])
def test_tokens_passwords_and_signatures_are_not_kept(secret):
    assert secret in json.dumps(CREATED)
    assert secret not in label_studio().body


def test_the_rest_is_kept():
    kept = json.loads(label_studio().body)
    assert kept["annotation"] == CREATED["annotation"]
    assert kept["project"]["title"] == "hooktest"
    assert kept["project"]["task_data_login"] is None
    assert kept["task"]["data"]["image"] == "/images/i0?expires=9&signature=(removed)"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://u:pw@host/a.jpg", "https://(removed)@host/a.jpg"),
        ("https://b/a?X-Amz-Signature=5f&x=1", "https://b/a?X-Amz-Signature=(removed)&x=1"),
        ("https://b/a?x=1&sig=5f%3D", "https://b/a?x=1&sig=(removed)"),
        ("https://b/a?X-Amz-Credential=AK/1&y=2", "https://b/a?X-Amz-Credential=(removed)&y=2"),
        ("https://b/a?design=5", "https://b/a?design=5"),
        ("data:image/png;base64,AAAA", "data:(removed)"),
    ],
)
def test_a_url_keeps_all_but_its_secrets(url, kept):
    assert json.loads(label_studio({"action": "A", "image": url}).body)["image"] == kept


def test_a_long_body_is_cut():
    assert len(label_studio({"action": "A", "text": "x" * 100_000}).body) == KEPT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(body=JSON, key=st.sampled_from(["token", "access_token", "Password", "apiKey", "api_key", "client-secret"]))
def test_a_secret_is_found_wherever_it_lies(body, key):
    hidden = {"action": "A", "annotations": [{"x": body}, {"deep": {key: "uncommon-words-91"}}]}
    assert "uncommon-words-91" not in label_studio(hidden).body


@pytest.mark.parametrize("tool", PARSERS)
@given(raw=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_genuine_bytes_are_a_hint_or_a_bad_hint(tool, raw):
    try:
        hint = PARSERS[tool](genuine(tool, raw), raw, SECRET, NOW)
    except BadHint:
        return
    assert hint.tool == tool


@pytest.mark.parametrize("tool", ["cvat", "generic"])
@given(place=st.integers(min_value=0, max_value=15), bit=st.integers(min_value=0, max_value=7))
def test_one_bit_changed_is_forged(tool, place, bit):
    raw = b'{"event": "done"}'
    changed = bytearray(raw)
    changed[place] ^= 1 << bit
    with pytest.raises(Forged):
        PARSERS[tool](genuine(tool, raw), bytes(changed), SECRET, NOW)


@pytest.mark.parametrize("tool", PARSERS)
@given(header=st.text(), raw=st.binary(max_size=100))
def test_any_other_header_is_forged(tool, header, raw):
    headers = dict.fromkeys(("X-Alloop-Token", "X-Signature-256", "X-Alloop-Signature"), header)
    with pytest.raises(Forged):
        PARSERS[tool](headers | {"X-Alloop-Timestamp": STAMP}, raw, SECRET, NOW)
