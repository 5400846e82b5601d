"""Names that classes and settings had in earlier versions, for records that still have them.

Recipes and lineage records name classes by path and settings by name. Packaged models carry their
own sources and need none of this; what reads an old record with the present code does.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from models.errors import NotFoundError

T = TypeVar("T")


class Renamed(NamedTuple):
    """What became of a class.

    Attributes:
        name: Its present path, ``package.module.Outer.Inner``.
        fields: Present names of its settings by former ones; None for what is no more.
        lifted: Settings that were configurations of their own, whose settings are now its own.
        defaults: Settings that had another default, or none: what an old record means by silence.
        weights: Present starts of names in a state dict by former ones; None for what is no more.
    """

    name: str
    fields: Mapping[str, str | None] = {}
    lifted: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = {}
    weights: Mapping[str, str | None] = {}


FORMER: Mapping[str, Renamed] = {
    "models.one_class._sparse_layer.SparseLayerConfig": Renamed(
        "models.one_class.deep_anomaly.SparseLayerConfig"
    ),
    "models.adaptation._adversary.AdversaryConfig": Renamed(
        "models.adaptation.adda.AdversaryConfig"
    ),
    "models.density.pixel_cnn.PixelCnn.Config": Renamed(
        "models.density.pixel_cnn.PixelCnn.Config", fields={"above_width": "vertical_width"}
    ),
}
"""Classes that have one successor, by former path."""
MOTION = Renamed(
    "models.one_class.motion_gaussian.MotionGaussian.Config",
    fields={"settled": None, "layer": None, "seed": None},
    weights={
        "first.": "gaussian.",
        "alpha_": "limit_",
        "second.": None,
        "kernels_": None,
        "biases_": None,
        "beta_": None,
        "phi_": None,
    },
)
"""What was called Deep-Anomaly while it judged by movement: its first Gaussian ranked alone."""
CASCADE = Renamed(
    "models.one_class.deep_anomaly.DeepAnomaly.Config",
    fields={
        "settled": "normal_share",
        "movement": None,
        "change": None,
        "flow": None,
        "perspective": None,
    },
    weights={"perspective_": None},
)
"""What was called Deep-Anomaly without movement."""
OGNET = Renamed(
    "models.one_class.ognet.OGNet.Config",
    defaults={"width": 16, "depth": 3},
)
"""What was called ALOCC with a second phase."""
ALOCC = Renamed(
    "models.one_class.alocc.ALOCC.Config",
    fields={"contrast_steps": None, "turning": None, "num_snapshots": None},
    defaults={"width": 16, "depth": 3},
)
"""What was called ALOCC without one."""
SPECTRAL = Renamed(
    "models.clustering.spectral_dec.SpectralDEC.Config",
    fields={"adoption": "warm_up", "reconstruction": None},
    lifted=("schedule",),
)
"""What was called DCEC with augmentation."""
DCEC = Renamed(
    "models.clustering.dcec.DCEC.Config",
    fields={
        "start": None,
        "start_shift": None,
        "start_rotation": None,
        "adoption": None,
        "reconstruction": None,
        "shift": None,
        "rotation": None,
    },
    lifted=("schedule",),
)
"""What was called DCEC without augmentation."""


def present(described: Any) -> Any:
    """A description of a configuration in present names; one that has them already stays as it is.

    Args:
        described: Plain data, as a lineage record keeps it: mappings with the path of a class under
            ``class`` (with dots, or ``package.module:Outer.Inner``), sequences and values.

    Raises:
        NotFoundError: If it asks for something that is no more, and names what there is instead.

    Example:
        >>> present({"class": "models.density.pixel_cnn.PixelCnn.Config", "above_width": 8})
        {'class': 'models.density.pixel_cnn.PixelCnn.Config', 'vertical_width': 8}
    """
    if isinstance(described, list | tuple):
        return [present(each) for each in described]
    if not isinstance(described, Mapping):
        return described
    name = str(described.get("class", "")).replace(":", ".")
    renamed = _successor(name, described)
    if renamed is None:
        return {key: present(value) for key, value in described.items()}
    settings = {key: value for key, value in described.items() if key != "class"}
    for part in renamed.lifted:
        inner = settings.pop(part, {})
        settings |= {key: value for key, value in inner.items() if key != "class"}
    settings = {**renamed.defaults, **settings}
    named = {renamed.fields.get(key, key): present(value) for key, value in settings.items()}
    found = {key: value for key, value in named.items() if key is not None}
    return {"class": _spelled(renamed.name, str(described["class"])), **found}


def present_weights(described: Mapping[str, Any], weights: Mapping[str, T]) -> dict[str, T]:
    """The state of a detector of a former version in present names, as far as they are known.

    Args:
        described: Its configuration, as it was recorded.
        weights: Its state dict.
    """
    renamed = _successor(str(described.get("class", "")).replace(":", "."), described)
    found: dict[str, T] = {}
    for name, value in weights.items():
        starts = [each for each in (renamed.weights if renamed else {}) if name.startswith(each)]
        now = renamed.weights[starts[0]] if renamed and starts else ""
        if now is not None:
            found[now + name.removeprefix(starts[0]) if starts else name] = value
    return found


def _successor(name: str, settings: Mapping[str, Any]) -> Renamed | None:
    if name == "models.one_class.deep_anomaly.DeepAnomaly.Config" and "movement" in settings:
        return MOTION if settings["movement"] else CASCADE
    if name == "models.one_class.alocc.ALOCC.Config" and "contrast_steps" in settings:
        return OGNET if settings["contrast_steps"] else ALOCC
    if name == "models.clustering.dcec.DCEC.Config" and "schedule" in settings:
        schedule = settings["schedule"]
        return SPECTRAL if schedule.get("shift") or schedule.get("rotation") else DCEC
    if name == "models.one_class.knn.NearestNeighbours.Config" and "per_place" in settings:
        if settings["per_place"]:
            raise NotFoundError(
                "NearestNeighbours must judge whole images, and per_place was recorded. Take "
                "models.one_class.patchcore, which judges places, or check out the commit that "
                "the version was trained at ('unseen trace' names it)."
            )
        return Renamed(name, fields={"per_place": None, "neighbourhood": None})
    return FORMER.get(name)


def _spelled(name: str, former: str) -> str:
    """A path with a colon after the module, if the former one had it so."""
    if ":" not in former:
        return name
    parts = name.split(".")
    first = next(place for place, part in enumerate(parts) if part[:1].isupper())
    return ".".join(parts[:first]) + ":" + ".".join(parts[first:])
