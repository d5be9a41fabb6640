"""In the place of packages that originals import and that a CPU need not have."""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class StandIn(ModuleType):
    """In the place of a module that no forward pass uses: any name is there.

    What has a name there can be called, and hands back the class or function that it
    is given, so that decorators leave it as it is.
    """

    def __getattr__(self, name: str) -> Any:
        """Return a stand-in, except for what the import system asks for."""
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(f"{self.__name__}.{name}")

    def __call__(self, *given: Any, **_: Any) -> Any:
        """Return a class or function that is given alone, else a stand-in."""
        return given[0] if len(given) == 1 and callable(given[0]) else self

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """Add no base to a class that is derived from a stand-in."""
        del bases
        return ()


@contextmanager
def registered(
    modules: Mapping[str, ModuleType], bare: Iterable[str] = ()
) -> Iterator[None]:
    """Let modules be imported inside; others than ``bare`` are forgotten afterwards.

    Other packages look for some of them to decide what they do.
    """
    mine = {name: each for name, each in modules.items() if name not in sys.modules}
    for name, each in mine.items():
        each.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        sys.modules[name] = each
    try:
        yield
    finally:
        for name in mine.keys() - set(bare):
            del sys.modules[name]


def filled(name: str, **contents: Any) -> ModuleType:
    """Return a package with contents."""
    found = ModuleType(name)
    found.__path__ = []
    found.__dict__.update(contents)
    return found


def absent(torch: Any) -> dict[str, ModuleType]:
    """What JavisDiT, ImageBind and Synchformer use of packages that are not installed.

    Parts of timm and mmcv are defined as there; xformers' attention, which has kernels
    for GPUs alone, is torch's own, each sample's queries beside its own keys.
    """
    found: dict[str, ModuleType] = {}
    if importlib.util.find_spec("timm") is None:
        layers = {
            "DropPath": _drop_path(torch),
            "trunc_normal_": torch.nn.init.trunc_normal_,
            "to_2tuple": lambda x: x if isinstance(x, tuple) else (x, x),
        }
        found |= {
            name: filled(name, **contents)
            for name, contents in {
                "timm": {},
                "timm.layers": layers,
                "timm.models": {},
                "timm.models.layers": layers,
                "timm.models.vision_transformer": {"Mlp": _mlp(torch)},
            }.items()
        }
    if importlib.util.find_spec("xformers") is None:
        attention = _attention(torch)
        ops = filled("xformers.ops", memory_efficient_attention=attention, fmha=_Masks)
        found |= {"xformers": filled("xformers", ops=ops), "xformers.ops": ops}
    if importlib.util.find_spec("mmcv") is None:
        found |= {name: StandIn(name) for name in ("mmcv", "mmcv.runner", "mmcv.utils")}
        cnn = found["mmcv.cnn"] = StandIn("mmcv.cnn")
        cnn.__dict__.update(
            ConvModule=_conv_module(torch),
            build_activation_layer=lambda config: torch.nn.ReLU(inplace=True),
        )
    return found


def _drop_path(torch: Any) -> Any:
    class DropPath(torch.nn.Identity):
        """Drops branches in training alone."""

    return DropPath


def _mlp(torch: Any) -> Any:
    nn: Any = torch.nn

    class Mlp(nn.Module):
        """Two linear layers."""

        def __init__(
            self,
            in_features,
            hidden_features=None,
            out_features=None,
            act_layer=nn.GELU,
            drop=0.0,
        ):
            super().__init__()
            hidden = hidden_features or in_features
            self.fc1 = nn.Linear(in_features, hidden)
            self.act = act_layer()
            self.fc2 = nn.Linear(hidden, out_features or in_features)

        def forward(self, x):
            return self.fc2(self.act(self.fc1(x)))

    return Mlp


def _conv_module(torch: Any) -> Any:
    nn: Any = torch.nn

    class ConvModule(nn.Module):
        """Convolution over time and space, batch norm and, unless refused, ReLU."""

        def __init__(
            self,
            in_channels,
            out_channels,
            kernel_size,
            act_cfg=True,
            conv_cfg=None,
            norm_cfg=None,
            **options,
        ):
            super().__init__()
            del conv_cfg, norm_cfg
            self.conv = nn.Conv3d(in_channels, out_channels, kernel_size, **options)
            self.bn = nn.BatchNorm3d(out_channels)
            self.activate = nn.ReLU(inplace=True) if act_cfg else nn.Identity()

        def forward(self, x):
            return self.activate(self.bn(self.conv(x)))

    return ConvModule


class _Masks:
    """xformers' masks that JavisDiT asks for."""

    class BlockDiagonalMask:
        """Queries and keys lie behind each other, those of one sample side by side."""

        def __init__(self, queries: list[int], keys: list[int]):
            self.queries, self.keys = queries, keys

        @classmethod
        def from_seqlens(cls, queries: list[int], keys: list[int]) -> Any:
            """Return the mask of samples with so many queries and keys."""
            return cls(queries, keys)


def _attention(torch: Any) -> Any:
    functional = torch.nn.functional

    def attend(q, k, v):
        heads_first = (x.transpose(1, 2) for x in (q, k, v))
        return functional.scaled_dot_product_attention(*heads_first).transpose(1, 2)

    def memory_efficient_attention(q, k, v, p=0.0, attn_bias=None):
        """``[B, L, H, D]``; with a mask B is 1."""
        del p  # dropout, in training alone
        if attn_bias is None:
            return attend(q, k, v)
        if len({*attn_bias.queries}) == len({*attn_bias.keys}) == 1:
            count = len(attn_bias.queries)
            rows = (x.reshape(count, -1, *x.shape[2:]) for x in (q, k, v))
            return attend(*rows).reshape(q.shape)
        parts = zip(
            q.split(attn_bias.queries, 1),
            k.split(attn_bias.keys, 1),
            v.split(attn_bias.keys, 1),
            strict=True,
        )
        return torch.cat([attend(*part) for part in parts], 1)

    return memory_efficient_attention
