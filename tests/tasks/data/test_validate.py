import json
import shutil
import struct
import zlib
from dataclasses import replace

import mlflow
import numpy as np
import pytest

from models.errors import DataValidationError, InvalidInputError
from tasks.data import dvc_cache, versions
from tasks.data.validate import Expectations, _limits, look, validate
from tasks.registry import mlflow_store, model_versions
from tasks.registry.tags import DATA_DIGEST, TAG, TRAIN
from tests.tasks.pictures import SIZE, picture, save, write_clips, write_stills

LIMITS = Expectations(min_frames_per_clip=6)


def add(name, write, **arguments):
    """A data set, versioned without the checks of ``ingest``."""
    write(versions.folder() / name, **arguments)
    return versions.add(name)


def bomb():
    """A PNG of 60,000 x 60,000 pixels in a hundred bytes."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(60_001))
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_faulty(folder):
    """Clips with one fault of each kind, every one in a file of its own."""
    write_clips(folder)
    train, test, truth = folder / "train/good", folder / "test", folder / "ground_truth"
    (train / "01/003.png").write_bytes(b"")
    (train / "02/001.png").write_bytes(bomb())
    (test / "good/01/002.png").write_text("no image")
    save(test / "cart/01/004.png", picture(4, (SIZE[0], SIZE[1] + 2)))
    (train / "02/005.png").unlink()
    save(train / "02/007.png", np.full(SIZE, 7, np.uint8))
    (train / "01/notes.txt").write_text("sunny")
    shutil.copy(train / "01/000.png", test / "good/01/000.png")
    for t in range(6):
        save(folder / f"train/odd/01/{t}.png", picture((5, t)))
        save(test / f"cart/02/{t}.png", picture((6, t)))
        save(test / f"bike/01/{t}.png", picture((7, t)))
    for t in range(3):
        save(train / f"03/{t}.png", picture((8, t)))
    save(truth / "cart/01/099.png", np.zeros(SIZE, bool))
    (truth / "bike").mkdir()
    (truth / "bike/01.txt").write_text("0 1 1")
    (truth / "bike/07.txt").write_text("0 1 1")
    return folder


@pytest.fixture(scope="module")
def faulty(shared_repository):
    """Result and error of a validation of a set that everything is wrong with."""
    version = add("faulty", write_faulty)
    md5s = {entry.relpath: entry.md5 for entry in versions.entries(version)}
    dvc_cache.cached_path(md5s["train/good/02/008.png"]).unlink()
    corrupt = dvc_cache.cached_path(md5s["train/good/01/008.png"])
    corrupt.chmod(0o644)
    save(corrupt.with_suffix(".png"), picture(9)).replace(corrupt)
    with pytest.raises(DataValidationError) as raised:
        validate.fn(version, LIMITS, "squares")
    return result_of("squares"), str(raised.value), shared_repository


def result_of(name):
    """The content of ``result.json``, the expectations by name, and the run of a validation."""
    client = mlflow_store.client()
    [run] = client.search_runs([mlflow_store.experiment(name)])
    content = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/validation/result.json")
    content["run"] = run
    content["expectations"] = {each["name"]: each for each in content["expectations"]}
    return content


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("bytes_as_versioned", ["train/good/01/008.png", "train/good/02/008.png"]),
        (
            "every_file_decodes",
            [
                "ground_truth/bike/01.txt",
                "test/good/01/002.png",
                "train/good/01/003.png",
                "train/good/02/001.png",
            ],
        ),
        ("every_file_has_a_place", ["train/good/01/notes.txt"]),
        ("one_format_per_clip", ["test/cart/01/004.png"]),
        ("no_gaps_in_clips", ["train/good/02/006.png"]),
        ("enough_frames_per_clip", [f"train/good/03/{t}.png" for t in range(3)]),
        ("train_and_test_are_disjoint", ["test/good/01/000.png", "train/good/01/000.png"]),
        ("train_is_normal", [f"train/odd/01/{t}.png" for t in range(6)]),
        ("no_orphaned_ground_truth", ["ground_truth/bike/07.txt", "ground_truth/cart/01/099.png"]),
        ("masks_fit_their_images", ["ground_truth/cart/01/004.png"]),
        ("ground_truth_is_complete", [f"test/cart/02/{t}.png" for t in range(6)]),
        ("few_constant_images", ["train/good/02/007.png"]),
    ],
)
def test_an_expectation_names_the_files_that_fail_it(faulty, name, files):
    outcome = faulty[0]["expectations"][name]
    assert not outcome["success"]
    assert [file.split(" (")[0] for file in outcome["files"]] == files
    assert outcome["num_files"] == len(files)


def test_what_is_wrong_with_a_file_is_told(faulty):
    found = faulty[0]["expectations"]
    assert found["no_gaps_in_clips"]["files"] == ["train/good/02/006.png (step 2.0)"]
    [twin, _] = found["train_and_test_are_disjoint"]["files"]
    assert twin == "test/good/01/000.png (as train/good/01/000.png)"
    assert "18x12 L" in found["one_format_per_clip"]["files"][0]
    assert "3600000000 pixels" in faulty[0]["problems"]["train/good/02/001.png"]
    assert "unseen ingest" in faulty[0]["problems"]["train/good/02/008.png"]
    label_file, *_ = found["every_file_decodes"]["files"]
    assert "a 0 or 1 for each of the 6 frames of its clip, got 3 values" in label_file


def test_a_critical_failure_names_files_and_where_to_look(faulty):
    _, message, folder = faulty
    index = folder / "gx/uncommitted/data_docs/local_site/index.html"
    assert index.is_file()
    assert str(index) in message
    assert "nothing was trained" in message
    assert "train/good/01/003.png" in message
    assert "train/odd/01/2.png (kind odd) and 3 more" in message
    assert "every_file_has_a_place" not in message  # a warning


def test_a_failed_run_keeps_its_result_and_data_docs(faulty):
    run = faulty[0]["run"]
    assert run.info.status == "FAILED"
    assert run.data.metrics["num_critical"] >= 11
    client = mlflow_store.client()
    names = {each.path for each in client.list_artifacts(run.info.run_id, "validation")}
    assert {"validation/suite.json", "validation/manifest.csv"} <= names
    assert any(
        each.path.endswith("index.html")
        for each in client.list_artifacts(run.info.run_id, "validation/data_docs")
    )


def test_data_docs_say_what_was_expected(faulty):
    [page] = (faulty[2] / "gx").rglob("data_docs/**/validations/squares/**/*.html")
    text = page.read_text()
    assert "train/ holds nothing but the kind" in text
    assert "train/good/01/003.png" in text
    assert "it must hold a 0 or 1 for each of the 6 frames" in text


def test_what_a_user_expects_besides_counts_and_makes_another_key(repository):
    version = add("squares", write_stills, train=12)
    suite = repository / "gx" / "expectations" / "squares.json"
    arguments = {"version": version, "expectations": LIMITS, "model_name": "squares"}
    before = _limits(arguments)
    wanted = {"column": "size", "value_set": ["9x9"]}
    mine = {"type": "expect_column_values_to_be_in_set", "kwargs": wanted, "description": "Nine."}
    suite.parent.mkdir(parents=True)
    suite.write_text(json.dumps({"name": "squares", "expectations": [mine]}))
    assert _limits(arguments) != before
    with pytest.raises(DataValidationError, match=r"expect_column_values_to_be_in_set: Nine\."):
        validate.fn(version, LIMITS, "squares")
    assert "Nine." in suite.read_text()


def test_a_good_set_passes_and_its_statistics_are_those_of_the_training_images(repository):
    version = add("squares", write_stills, train=12)
    found = validate.fn(version, LIMITS, "squares")
    assert found.failed == ()
    assert found.data_digest == version.digest
    means = [picture((0, 0, k)).mean() / 255 for k in range(12)]
    contrasts = [picture((0, 0, k)).std() / 255 for k in range(12)]
    expected = {
        "num_files": 15,
        "num_train_images": 12,
        "num_test_images": 2,
        "train_mean_min": min(means),
        "train_mean_max": max(means),
        "train_contrast_min": min(contrasts),
        "train_contrast_max": max(contrasts),
    }
    assert found.statistics == pytest.approx(expected)
    result = result_of("squares")
    assert result["run"].info.run_id == found.run_id
    assert result["run"].info.status == "FINISHED"
    assert result["success"]
    assert "no champion yet" in result["champion"]["skipped"]
    [used] = result["run"].inputs.dataset_inputs
    assert used.dataset.digest == version.digest
    suite = mlflow.artifacts.load_dict(f"runs:/{found.run_id}/validation/suite.json")
    assert len(suite["expectations"]) == found.num_expectations
    assert all(each["type"].startswith("expect_column") for each in suite["expectations"])


def failed(name, limits):
    """What a set fails, by the name of the expectation, without a run of it."""
    return {each.name: each for each in look(versions.add(name), limits)[1]}


def test_too_few_images_and_a_missing_test_split_are_critical(repository):
    folder = versions.folder() / "small"
    for index in range(9):
        save(folder / f"train/good/{index}.png", picture(index))
    found = failed("small", LIMITS)
    assert found["enough_training_images"].message.endswith("frames that decode: got 9")
    assert [each.severity for each in found.values()] == ["critical", "critical", "warning"]
    assert list(found)[1:] == ["enough_test_images", "both_labels_in_test"]


def test_a_few_constant_images_and_twin_names_are_told_apart(repository):
    folder = write_stills(versions.folder() / "squares", train=12)
    save(folder / "train/good/012.png", np.zeros(SIZE, np.uint8))
    lenient = replace(LIMITS, tolerated_share=0.1)
    assert list(failed("squares", lenient)) == ["no_constant_images"]
    save(folder / "train/good/000.bmp", picture(1))
    assert "good/000.bmp" in failed("squares", lenient)["names_are_unique"].message


def test_training_images_far_from_the_champions_stop_the_flow(repository, register_detector):
    register_detector("squares")
    client = mlflow_store.client()
    client.set_registered_model_alias("squares", model_versions.CHAMPION, "1")
    for end, value in (("min", 0.1), ("max", 0.2)):
        client.set_model_version_tag("squares", "1", f"{TRAIN}mean_{end}", str(value))
    version = add("bright", write_stills, train=12)
    close = replace(LIMITS, intensity_tolerance=0.4)
    assert validate.fn(version, close, "squares").failed == ()
    with pytest.raises(DataValidationError, match=r"train/good/000\.png \(mean 0\.") as raised:
        validate.fn(version, LIMITS, "squares")
    assert "outside [0.000, 0.300], about where the champion" in str(raised.value)


def test_another_champion_is_a_reason_to_validate_again(repository, register_detector):
    version = add("squares", write_stills, train=12)
    arguments = {"version": version, "expectations": LIMITS, "model_name": "squares"}
    keys = [_limits(arguments)]
    register_detector("squares")
    client = mlflow_store.client()
    client.set_registered_model_alias("squares", model_versions.CHAMPION, "1")
    tags = {"train_mean_min": "0.1", "train_mean_max": "0.2", "data_digest": "other"}
    for name, value in tags.items():
        client.set_model_version_tag("squares", "1", TAG + name, value)
    keys.append(_limits(arguments))
    client.set_model_version_tag("squares", "1", DATA_DIGEST, version.digest)
    keys.append(_limits(arguments))
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]  # images trained on are within their own range


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_train_images", 0),
        ("min_test_images", -1),
        ("min_frames_per_clip", 0),
        ("frame_step", 0),
        ("tolerated_share", 1.0),
        ("intensity_tolerance", -0.1),
    ],
)
def test_limits_out_of_range_are_refused(field, value):
    with pytest.raises(InvalidInputError, match=field):
        Expectations(**{field: value})


def test_a_set_without_a_test_split_passes_where_nothing_is_measured(repository):
    folder = versions.folder() / "normal"
    for index in range(12):
        save(folder / f"train/good/{index}.png", picture(index))
    limits = replace(LIMITS, min_test_images=0, anomalies=False)
    assert failed("normal", limits) == {}


def test_warnings_are_told_when_they_happen_and_a_range_is_part_of_the_statistics(
    repository, caplog
):
    folder = write_stills(versions.folder() / "deep", train=12)
    save(folder / "train/0.png", picture(99))
    save(folder / "test/ok/0.png", picture(98))
    for index in range(12):
        values = picture(index).astype(np.uint16) * 16
        save(folder / f"train/good/{index:03d}.png", values)
    with caplog.at_level("WARNING"):
        found = validate.fn(versions.add("deep"), LIMITS, "deep")
    assert found.failed == ("every_file_has_a_place", "images_have_8_bits")
    assert "test/ok/0.png (the kind 'ok' counts as anomalous" in caplog.text
    assert "train/0.png (it lies in train/ itself" in caplog.text
    assert (found.statistics["levels_low"], found.statistics["levels_high"]) == (0, 4095)
    assert found.statistics["train_contrast_min"] > 0.2
    assert "4095 white" in caplog.text


def test_a_look_at_a_version_tells_files_and_what_fails(repository):
    folder = write_stills(versions.folder() / "squares", train=2)
    save(folder / "ground_truth/scratch/000_mask.png", np.ones(SIZE, bool))
    rows, failed = look(versions.add("squares"))
    assert len(rows) == 5
    assert [each.name for each in failed] == ["every_file_decodes"]
    assert "it marks every pixel" in failed[0].message
