import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tasks.serving.pages import ASSETS, SECURE, Shield, add_docs, host_of


@pytest.fixture(scope="module")
def client():
    app = FastAPI(docs_url=None, redoc_url=None)
    add_docs(app)
    shielded = Shield(app, hosts=frozenset({"127.0.0.1", "::1"}))
    return TestClient(shielded, base_url="http://127.0.0.1")


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8900", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8900", "::1"),
        ("", ""),
    ],
)
def test_a_host_is_read_without_its_port(header, host):
    assert host_of(header) == host


def test_every_answer_forbids_what_no_page_of_ours_needs(client):
    for path in ("/docs", "/assets/console.css", "/nowhere"):
        headers = client.get(path).headers
        assert {name: headers[name] for name in SECURE} == SECURE
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy


def test_foreign_names_are_refused(client):
    refused = client.get("/docs", headers={"Host": "evil.example"})
    assert refused.status_code == 421
    assert "127.0.0.1" in refused.json()["error"]
    assert client.get("/docs", headers={"Host": "[::1]:80"}).status_code == 200


def test_pages_of_other_sites_are_refused(client):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:81", "https://127.0.0.1.evil"):
        refused = client.get("/docs", headers={"Origin": origin})
        assert refused.status_code == 403
        assert origin in refused.json()["error"]
    own = client.get("/docs", headers={"Origin": "http://127.0.0.1:80", "Host": "127.0.0.1:80"})
    assert own.status_code == 200
    proxied = {"Origin": "https://site.example", "Sec-Fetch-Site": "same-origin"}
    assert client.get("/docs", headers=proxied).status_code == 200
    foreign = {"Origin": "https://site.example", "Sec-Fetch-Site": "cross-site"}
    assert client.get("/docs", headers=foreign).status_code == 403


def test_assets_name_no_other_server_and_hold_no_script_or_style_inside():
    for path in ASSETS.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), path
        assert "innerHTML" not in text
        if path.suffix == ".html":
            assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", text), path


def test_files_outside_of_the_assets_are_not_served(client):
    assert client.get("/assets/../pages.py").status_code == 404
    assert client.get("/assets/%2e%2e/pages.py").status_code == 404
