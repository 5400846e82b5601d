import json
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request, Security
from fastapi.testclient import TestClient

from models.errors import InvalidInputError, NotFoundError, UnseenError
from tasks.serving.api_keys import ANYBODY, PREDICT, PROMOTE, Access, Keys, is_local, may, require
from tasks.serving.middleware import Guard
from tasks.serving.uploads import Limits


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "keys.json")


def named(request: Request) -> str:
    return require(request)


def visit(access):
    """Function that asks for something, with these headers, as over the network."""
    app = FastAPI()
    app.add_middleware(Guard, limits=Limits())
    app.state.access = access

    for right in ("read", PREDICT, PROMOTE):
        needed = may(None if right == "read" else right)
        app.get(f"/{right}", dependencies=[Security(needed)])(named)

    client = TestClient(app)
    return lambda right, **headers: client.get(f"/{right}", headers=headers)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_a_key_opens_what_it_has_the_right_for_and_nothing_else(keys):
    tokens = {right: keys.add(f"the {right}er", [right]) for right in (PREDICT, PROMOTE)}
    enter = visit(Access(keys, local=False))
    for held, token in tokens.items():
        for wanted in (PREDICT, PROMOTE):
            answer = enter(wanted, **bearer(token))
            assert answer.status_code == (200 if held == wanted else 403)
        assert enter("read", **bearer(token)).json() == f"the {held}er"
        assert enter("read", **{"X-API-Key": token}).json() == f"the {held}er"
    both = keys.add("both", [PROMOTE, PREDICT])
    assert [enter(right, **bearer(both)).json() for right in (PREDICT, PROMOTE)] == ["both"] * 2


def test_who_has_no_key_or_a_wrong_one_is_told_so_in_our_own_format(keys):
    token = keys.add("camera", [PREDICT])
    enter = visit(Access(keys, local=False))
    for headers in (
        {},
        bearer("wrong"),
        bearer(""),
        bearer(token[:-1]),
        {"Authorization": token},
        {"Authorization": f"Basic {token}"},
        {"X-API-Key": "wrong"},
        {"X-API-Key": "\xff\xfe".encode("latin-1")},
        bearer(json.loads(keys.path.read_text())["keys"][0]["digest"]),
    ):
        answer = enter(PREDICT, **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert token not in answer.text
    assert enter(PROMOTE, **bearer(token)).json()["error"].endswith("'camera' has predict.")


def test_a_server_of_this_machine_alone_predicts_without_keys_until_there_is_one(keys):
    enter = visit(Access(keys, local=True))
    assert enter(PREDICT).json() == ANYBODY
    assert enter(PROMOTE).status_code == 401
    keys.add("operator", [PROMOTE])
    assert enter(PREDICT).json() == ANYBODY
    token = keys.add("camera", [PREDICT])
    assert enter(PREDICT).status_code == 401
    assert enter(PREDICT, **bearer(token)).json() == "camera"
    keys.remove("camera")
    assert enter(PREDICT, **bearer(token)).status_code == 401


def test_a_server_that_others_reach_needs_keys_or_to_be_told_otherwise(keys):
    with pytest.raises(InvalidInputError, match="unseen keys add NAME --right predict"):
        Access(keys, local=False).check()
    keys.add("operator", [PROMOTE])
    with pytest.raises(InvalidInputError, match="must have a key"):
        Access(keys, local=False).check()
    Access(keys, local=True).check()
    opened = Access(keys, local=False, open_to_all=True)
    opened.check()
    assert visit(opened)(PREDICT).json() == ANYBODY
    assert visit(opened)(PROMOTE).status_code == 401
    keys.add("camera", [PREDICT])
    Access(keys, local=False).check()
    assert visit(Access(keys, local=False))(PREDICT).status_code == 401


def test_a_key_that_is_removed_is_refused_at_once(keys):
    token, other = keys.add("camera", [PREDICT]), keys.add("other", [PREDICT])
    enter = visit(Access(keys, local=False))
    assert enter(PREDICT, **bearer(token)).status_code == 200
    Keys(keys.path).remove("camera")
    assert enter(PREDICT, **bearer(token)).status_code == 401
    assert enter(PREDICT, **bearer(other)).status_code == 200
    keys.path.unlink()
    assert enter(PREDICT, **bearer(other)).status_code == 401
    assert enter(PREDICT).status_code == 401


def test_the_file_is_its_owners_alone_and_holds_no_token(keys):
    tokens = [keys.add(f"camera {number}", [PREDICT]) for number in range(3)]
    assert keys.path.stat().st_mode & 0o777 == 0o600
    text = keys.path.read_text()
    assert not any(token in text or token.removeprefix("unseen_") in text for token in tokens)
    assert len({*tokens}) == 3
    assert all(len(token) >= 43 for token in tokens)
    assert sorted(each.name for each in keys.path.parent.iterdir()) == ["keys.json", "keys.lock"]


@pytest.mark.parametrize("content", ["{", "[]", '{"keys": [{"name": "a"}]}', '{"keys": 3}'])
def test_a_damaged_file_lets_nobody_in(keys, content):
    token = keys.add("camera", [PREDICT])
    keys.path.write_text(content)
    with pytest.raises(UnseenError, match="must be readable"):
        keys.read()
    for local in (True, False):
        enter = visit(Access(keys, local=local))
        assert enter(PREDICT).status_code in {401, 500}
        assert enter(PREDICT, **bearer(token)).status_code == 500


@pytest.mark.parametrize(
    ("name", "rights", "sentence"),
    [
        ("camera", [PREDICT], "named 'camera' already"),
        ("other", [], "got none"),
        ("other", ["admin"], "predict, promote, label; got admin"),
        (" ", [PREDICT], "printable"),
        ("a\nb", [PREDICT], "printable"),
        ("x" * 65, [PREDICT], "1 to 64"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(keys, name, rights, sentence):
    keys.add("camera", [PREDICT])
    with pytest.raises(InvalidInputError, match=sentence):
        keys.add(name, rights)
    assert [key.name for key in keys.read()] == ["camera"]


def test_a_key_that_is_not_there_cannot_be_removed(keys):
    keys.add("camera", [PREDICT])
    with pytest.raises(NotFoundError, match=r"'gate'\. Keys: camera"):
        keys.remove("gate")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("", False),
        ("192.168.0.7", False),
        ("camera.example", False),
    ],
)
def test_only_addresses_of_the_loopback_are_local(host, local):
    assert is_local(host) is local


def test_a_request_that_is_not_for_promotion_needs_no_key_where_anybody_may_ask(keys):
    request = SimpleNamespace(headers={})
    assert Access(keys, local=True).require(request) == ANYBODY
