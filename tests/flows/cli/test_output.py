import json

from flows.cli.output import console, show
from tasks.records import ModelVersion


def test_a_record_is_told_to_people_or_to_machines(capsys):
    made = ModelVersion(name="squares", version=1, alias="champion", run_id="r")
    show(lambda: "for people", lambda: {"made": (made,)}, as_json=True)
    assert json.loads(capsys.readouterr().out)["made"][0]["alias"] == "champion"
    show(lambda: "for people", lambda: 1 / 0)
    assert capsys.readouterr().out == "for people\n"
    assert not console.is_terminal
