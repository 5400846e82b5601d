import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from models.errors import NotFoundError
from tasks.serving.monitoring import prediction_log
from tasks.serving.monitoring.prediction_log import LoggedPrediction, PredictionLog, find, path_of

ONE = LoggedPrediction(
    request_id="r-1",
    when="2026-01-01T00:00:00.000+00:00",
    client="gate",
    model="squares",
    version=3,
    model_digest="a" * 64,
    data_digest="b.dir",
    files=("c" * 64, "d" * 64),
    threshold=0.5,
    frames=(5, 6),
    image_score=(0.25, 0.75),
    p_value=(0.5, 0.01),
    anomalous=(6,),
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prediction_log, "PAUSE_SECONDS", 0.0)


def write(*made, **options):
    log = PredictionLog("squares", **options)
    log.start()
    for each in made:
        log.put(each)
    log.stop()
    return log


def test_a_prediction_comes_back_as_it_was():
    write(ONE, replace(ONE, request_id="r-2"))
    assert find("r-1") == (ONE,)


def test_of_predictions_with_one_id_the_newest_comes_first():
    later = replace(ONE, when="2026-01-02T00:00:00.000+00:00", version=4)
    write(ONE, later)
    assert find("r-1") == (later, ONE)


def test_a_prediction_that_was_not_kept_is_not_found():
    with pytest.raises(NotFoundError, match="no logged prediction 'r-1' here"):
        find("r-1")
    write(ONE)
    with pytest.raises(NotFoundError, match="no logged prediction"):
        find("r-3' OR '1'='1")


def test_a_row_is_never_changed():
    write(ONE)
    with (
        closing(sqlite3.connect(path_of("squares"))) as database,
        pytest.raises(sqlite3.IntegrityError, match="never changed"),
    ):
        database.execute("UPDATE prediction SET content = '{}'")


def test_two_servers_write_one_file():
    made = [
        [replace(ONE, request_id=f"{server}-{number}") for number in range(200)]
        for server in range(3)
    ]
    with ThreadPoolExecutor(3) as pool:
        logs = list(pool.map(lambda mine: write(*mine), made))
    assert [log.lost for log in logs] == [0, 0, 0]
    assert len({find(each.request_id) for mine in made for each in mine}) == 600


def test_servers_that_open_a_new_file_at_once_wait_for_each_other(tmp_path):
    modes = []
    for number in range(40):
        with ThreadPoolExecutor(8) as pool:
            for database in pool.map(prediction_log._open, [tmp_path / f"{number}.db"] * 8):
                modes += database.execute("PRAGMA journal_mode").fetchone()
                database.close()
    assert modes == ["wal"] * 320


def test_the_oldest_go_when_the_file_is_full(monkeypatch):
    monkeypatch.setattr(prediction_log, "TOGETHER", 10)
    long = replace(ONE, files=("c" * 64,) * 200)
    size = len(json.dumps(vars(long)))
    write(*(replace(long, request_id=str(number)) for number in range(100)), most_bytes=40 * size)
    with closing(sqlite3.connect(path_of("squares"))) as database:
        kept = [int(row[0]) for row in database.execute("SELECT request_id FROM prediction")]
    assert kept == list(range(kept[0], 100))
    assert 10 < len(kept) < 60
    assert path_of("squares").stat().st_size < 80 * size


def test_a_full_disk_costs_records_and_nothing_else(monkeypatch, caplog):
    def full(path):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(prediction_log, "_open", full)
        log = write(ONE, ONE, ONE)
        assert log.lost == 3
        assert caplog.text.count("disk is full") == 1
    log = write(replace(ONE, request_id="after"))
    assert log.lost == 0
    assert find("after")


def test_more_than_can_be_written_is_lost_and_counted(monkeypatch):
    monkeypatch.setattr(prediction_log, "MOST_WAITING", 2)
    log = PredictionLog("squares")
    for _ in range(5):
        log.put(ONE)
    assert log.lost == 3


def test_a_damaged_file_does_not_hide_the_others():
    write(ONE)
    path_of("another").write_bytes(b"no database" * 1000)
    assert find("r-1") == (ONE,)
