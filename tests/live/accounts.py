"""People with an account of their own on a real Label Studio."""

import re

import httpx

from tests.live.label_studio_server import PASSWORD, LabelStudioServer


def sign_up(server: LabelStudioServer, email: str) -> httpx.Client:
    """A client of somebody who followed the invitation link."""
    with server.client() as admin:
        invite = admin.get("/api/invite").json()["invite_url"]
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=60) as browser:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(invite).text)
        form = {"csrfmiddlewaretoken": token[1] if token else "", "email": email, "password": PASSWORD}
        form |= {"how_find_us": "", "allow_newsletters": "false"}
        browser.post(invite, data=form, headers={"Referer": server.url + invite})
        legacy = browser.get("/api/current-user/token").json()["token"]
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Token {legacy}"}, timeout=60)
