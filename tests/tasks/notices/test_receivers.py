import pytest

from models.errors import InvalidInputError, NotFoundError, UnseenError
from tasks.notices import receivers

URL = "json://ada:secret@127.0.0.1:1/path"


def test_receivers_are_kept_for_their_owner_alone_and_called_without_secrets(tmp_path):
    receivers.add(URL, ["alarm"], 5.0)
    made = receivers.add("json://127.0.0.1:2", ["drift", "failed"])
    assert [each.number for each in receivers.read()] == [1, 2]
    assert receivers.read()[1] == made
    path = tmp_path / ".unseen" / "notices.json"
    assert path.stat().st_mode & 0o077 == 0
    assert receivers.read()[0].called == "receiver 1 (json)"
    receivers.remove(1)
    assert [each.number for each in receivers.read()] == [2]
    with pytest.raises(NotFoundError, match=r"no receiver 1\. Receivers: 2"):
        receivers.remove(1)
    path.write_text('{"receivers": [{"url": "json://secret"}]}')
    with pytest.raises(UnseenError, match="got KeyError") as told:
        receivers.read()
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "topics", "every", "sentence"),
    [
        ("nonsense://secret", ["alarm"], 1.0, "one of 'nonsense'"),
        ("secret", ["alarm"], 1.0, "no service"),
        (URL, ["alarms"], 1.0, "got alarms"),
        (URL, [], 1.0, "got none"),
        (URL, ["alarm"], -1.0, "at least 0 seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(url, topics, every, sentence):
    with pytest.raises(InvalidInputError, match=sentence) as told:
        receivers.add(url, topics, every)
    assert "secret" not in str(told.value)
