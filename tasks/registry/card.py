"""Card: what one should know of a model version before trusting it, as Markdown.

It is written from the record, nothing else: the version's tags, its files, its run, and the
decisions about it. MLflow shows it as the description of the version, where it is written anew with
every decision; the run keeps it as it was at registration, beside pictures of the data.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.platform import files
from tasks.platform.step_names import SHORT
from tasks.registry import history, model_versions, version_facts
from tasks.registry.tags import DRIFT, EVALUATION_NOTES

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

    from tasks.records import Decision
    from tasks.registry.version_facts import Facts

FILE, THUMBNAILS = "card/card.md", "card/thumbnails.png"
"""Among the artifacts of the run that fitted the version."""
HEADLINES = (
    "frame_auc",
    "image_auroc",
    "put_in_auroc",
    "pixel_auroc",
    "pixel_eer",
    "cluster_acc",
    "detection_rate",
    "false_alarm_rate",
)
"""Figures in the order to show them."""
MOST_DECISIONS = 8
LONGEST = 5000
"""Characters of a description that every database of MLflow takes."""
log = logging.getLogger(__name__)


def write(client: MlflowClient, version: RegisteredVersion) -> str:
    """The card of a version as the record has it now.

    Raises:
        RegistryError: If the registry does not answer.
    """
    facts = version_facts.gather(client, version)
    decisions = [
        each
        for each in history.read(version.name, client)
        if int(version.version) in {each.version, each.champion, each.former}
    ]
    aliases = model_versions.aliases(client, version.name)
    held = [alias for alias, number in aliases.items() if number == int(version.version)]
    sections = {
        "Purpose": _purpose(version.name, facts),
        "Data": _data(facts),
        "Method": _method(facts),
        "Figures on the test split": _figures(facts.metrics),
        "Thresholds": _thresholds(facts),
        "Limits": _limits(facts),
        "Drift": _drift(version),
        "Decisions": _decisions(decisions),
        "Reproduce": _reproduce(version, facts),
    }
    standing = f" ({', '.join(sorted(held))})" if held else ""
    parts = [f"**{version.name} version {version.version}{standing}**"]
    parts += [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join([summary(facts.lineage, facts.metrics), *parts]) + "\n"


def save(client: MlflowClient, version: RegisteredVersion, folder: Path) -> str:
    """Write the present card and the pictures of its data to a folder; the card.

    Args:
        client: Of the registry.
        version: The version.
        folder: To be made if it is not there.

    Raises:
        RegistryError: If the registry does not answer.
    """
    text = write(client, version)
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / Path(FILE).name, text)
    pictures = version_facts.run_artifact(client, str(version.run_id), THUMBNAILS)
    if pictures is not None:
        shutil.copyfile(pictures, folder / pictures.name)
    return text


def summary(lineage: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """What a version is, in a sentence; lists of versions show the begin of a description."""
    data = lineage.get("data") or {}
    figures = ", ".join(f"{name} {metrics[name]:.3f}" for name in HEADLINES if name in metrics)
    return (
        f"{_class(lineage, 'detector')} on {data.get('name')} {str(data.get('digest'))[:SHORT]} "
        f"({data.get('num_files')} files), trained {str(lineage.get('trained_at', '?'))[:16]} at "
        f"commit {str(lineage.get('git_commit'))[:12]}.{f' Test: {figures}.' if figures else ''}"
    )


def refresh(client: MlflowClient, name: str, number: int | None = None) -> None:
    """Write descriptions anew; a card that cannot be written stops nobody.

    Args:
        client: Of the registry.
        name: The registered model.
        number: Of the version; those that the last decision was about if None.
    """
    try:
        last = () if number else history.read(name, client)[-1:]
        about = {n or 0 for each in last for n in (each.version, each.champion, each.former)}
        for one in sorted({number or 0, *about} - {0}):
            if (version := model_versions.version(client, name, one)) is not None:
                _describe(client, version)
    except Exception as error:
        log.warning("The card of %s could not be written anew: %s", name, error)


def publish(client: MlflowClient, name: str, number: int) -> None:
    """The first card of a version: as its description, and as a file of its run."""
    try:
        if (version := model_versions.version(client, name, number)) is not None:
            client.log_text(version.run_id, _describe(client, version), FILE)
    except Exception as error:
        log.warning("The card of %s version %s could not be kept: %s", name, number, error)


def _describe(client: MlflowClient, version: RegisteredVersion) -> str:
    """Make the card the version's description; the card."""
    text = write(client, version)
    client.update_model_version(version.name, str(version.version), shortened(text))
    return text


def shortened(text: str) -> str:
    """At most ``LONGEST`` characters, cut at a line."""
    if len(text) <= LONGEST:
        return text
    end = "\n\n'unseen card' shows the rest.\n"
    return text[: LONGEST - len(end)].rpartition("\n")[0] + end


def _purpose(name: str, facts: Facts) -> Iterator[str]:
    data = facts.lineage.get("data") or {}
    told = (
        f"which cluster of `{data.get('name')}` it belongs to, and how far from all it lies"
        if ".clustering." in str(_part(facts.lineage, "detector").get("class"))
        else f"how unlike the normal ones of `{data.get('name')}` it is, with a p-value"
    )
    yield (
        f"Says of an image or a frame {told}. It learned without labels; for other scenes, cameras "
        "or products it has not been tested."
    )
    source = facts.lineage.get("source") or {}
    if source.get("name"):
        yield f"\nAdapted from {source['name']} version {source['version']}."
    yield f"\nServe it with `unseen serve {name}`."


def _data(facts: Facts) -> Iterator[str]:
    data, known = facts.lineage.get("data") or {}, facts.lineage.get("validation") or {}
    yield f"- {data.get('name')} `{data.get('digest')}`, {data.get('num_files')} files"
    yield f"- DVC `{data.get('dvc_md5')}` at commit `{data.get('git_commit')}`"
    yield from (
        f"- {what}: {data[key]}"
        for what, key in (("from", "origin"), ("remote", "remote"))
        if data.get(key)
    )
    failed = known.get("failed") or ()
    if known.get("num_expectations"):
        met = known["num_expectations"] - len(failed)
        yield f"- expectations: {met} of {known['num_expectations']} met"
    if facts.run is not None:
        yield f"- pictures: `{THUMBNAILS}` of run `{facts.run.info.run_id}`"


def _method(facts: Facts) -> Iterator[str]:
    recipe, training = facts.lineage.get("recipe") or {}, _part(facts.lineage, "training")
    encoder, pretext = _class(facts.lineage, "encoder"), facts.lineage.get("pretext") or {}
    yield f"- detector: {_class(facts.lineage, 'detector')}, recipe `{recipe.get('name', '')}`"
    if encoder or pretext.get("backbone"):
        yield f"- encoder: {encoder or 'its own'} ({pretext.get('backbone') or 'untrained'})"
    if training:
        size = training.get("image_size")
        yield (
            f"- input: {training.get('window', 1)} frame(s) of {training.get('channels', 1)} "
            f"channel(s), {'x'.join(map(str, size)) if size else 'own size'}"
        )
    yield f"- seed {facts.lineage.get('seed')}, trained on {facts.lineage.get('device') or '?'}"


def _figures(metrics: Mapping[str, float]) -> Iterator[str]:
    kinds = [name for name in metrics if "." in name and name.partition(".")[0] in HEADLINES]
    shown = [name for name in HEADLINES if name in metrics] + sorted(kinds)[:20]
    if not shown:
        yield "None: there were no anomalies to find."
        return
    yield "| figure | value | 95% interval |"
    yield "|---|---|---|"
    for name in shown:
        low, high = (metrics.get(f"{name}_{end}") for end in ("low", "high"))
        between = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        yield f"| {name} | {metrics[name]:.3f} | {between} |"


def _thresholds(facts: Facts) -> Iterator[str]:
    logged = facts.run.data.metrics if facts.run is not None else {}
    known = {**logged, **facts.metrics}
    for name, what in (
        ("threshold", "an image is anomalous from this score on"),
        ("calibration.num_clips", "normal clips or images vouch for it, unseen when scored"),
        ("calibration.smallest_p_value", "is the smallest p-value that they allow"),
        ("calibration.false_alarm_rate", "of frames of left-out clips are false alarms"),
    ):
        if name in known:
            yield f"- {known[name]:.6g}: {what}"
    yield "- `--false-alarm-rate` of `unseen serve` sets another one"


def _limits(facts: Facts) -> Iterator[str]:
    notes = facts.run.data.tags.get(EVALUATION_NOTES, "") if facts.run is not None else ""
    failed = (facts.lineage.get("validation") or {}).get("failed") or ()
    yield "- p-values hold for images that are taken as the normal training images were"
    yield from (f"- {note}" for note in (notes, *facts.notes) if note)
    yield from (f"- warning of the validation: {each}" for each in failed)


def _drift(version: RegisteredVersion) -> Iterator[str]:
    if DRIFT not in version.tags:
        yield f"Nobody has looked yet: `unseen monitor {version.name}`."
        return
    last = json.loads(version.tags[DRIFT])
    yield f"{last['verdict']} on {last['when'][:16]}: {last['why']}"


def _decisions(decisions: list[Decision]) -> Iterator[str]:
    if not decisions:
        yield "None yet."
    for each in reversed(decisions[-MOST_DECISIONS:]):
        who = each.who.partition(" <")[0]  # addresses are nobody else's business
        yield (
            f"- {each.when[:16]} {each.action} {each.version or ''} by {who}: {each.why} "
            f"(serves: {each.champion or 'none'})"
        )
    if len(decisions) > MOST_DECISIONS:
        yield f"- and {len(decisions) - MOST_DECISIONS} before: `unseen history`"


def _reproduce(version: RegisteredVersion, facts: Facts) -> Iterator[str]:
    reference = f"{version.name}@{version.version}"
    yield f"- `unseen reproduce {reference}` trains it again and compares every tensor"
    yield f"- `unseen trace {reference} --restore FOLDER` brings back the bytes it learned from"
    yield f"- code: commit `{facts.lineage.get('git_commit')}`; model: `{facts.model_digest}`"


def _part(lineage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = (lineage.get("recipe") or {}).get(name)
    return found if isinstance(found, Mapping) else {}


def _class(lineage: Mapping[str, Any], part: str) -> str:
    known = str(_part(lineage, part).get("class", "Detector" if part == "detector" else ""))
    return known.removesuffix(".Config").replace(":", ".").rpartition(".")[2]
