# SPDX-License-Identifier: Apache-2.0
"""Any torch.nn.Module by import path: run for its activations, its skips found by watching it run.

A skip is a tensor that one module gives out and ``torch.cat`` later joins with another; x is the
output of that module, y that of the module that reads what was joined. Needs PyTorch.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ornstein.host.compile.program import InputError
from ornstein.host.models.capture import Inputs, Run
from ornstein.host.models.graph_skips import Skip
from ornstein.host.models.model_file import open_weights
from ornstein.host.models.tensor_files import ModelFileError, brief


@dataclass(frozen=True, eq=False)
class TorchNetwork:
    """A network as a module in evaluation mode.

    Attributes
    ----------
    path : its import path, for messages
    module : the network
    """

    path: str
    module: torch.nn.Module

    @classmethod
    def load(cls, path: str, weights: Path | None = None) -> "TorchNetwork":
        """Imports ``package.module:name``: a module, or a class or function that makes one.

        The working folder is searched too. Weights are read from a file of them, where names may
        have another prefix. Raises ModelFileError.
        """
        module = _imported(path)
        if weights is not None:
            file = open_weights(weights)
            state = {
                name: torch.from_numpy(np.asarray(file.read(file.find(name)))).to(value.dtype)
                for name, value in module.state_dict().items()
            }
            try:
                module.load_state_dict(state)
            except RuntimeError as error:
                message = " ".join(str(error).split())
                raise ModelFileError(f"{weights} does not fit {path}: {message[:200]}") from None
        return cls(path, module.eval())

    def skips(self, inputs: Inputs) -> list[Skip]:
        """Returns the skips that one run shows, in the order in which they are joined."""
        watch = _Watch(self.module)
        with torch.no_grad(), watch:
            self._call({name: values[:1] for name, values in inputs.items()})
        return [
            Skip(f"torch.cat {number}", x, y, (_first_convolution(self.module, x),
                                               _first_convolution(self.module, y)))
            for number, (x, y) in enumerate(watch.found, 1)
        ]  # fmt: skip

    def runner(self, inputs: Inputs, tensors: Sequence[str]) -> tuple[Run, Inputs]:
        """Returns the network as a function, and its inputs. ``tensors`` are names of submodules,
        each of which stands for its output. Raises ModelFileError if there is none of that name.
        """
        parts = dict(self.module.named_modules())
        for name in tensors:
            if name not in parts:
                raise ModelFileError(f"{self.path} has no module {name}; it has {brief(parts)}")

        def run(chunk: Inputs, names: Sequence[str]) -> Mapping[str, np.ndarray]:
            kept: dict[str, np.ndarray] = {}

            def keep(name: str) -> Callable[..., None]:
                def hook(module: torch.nn.Module, arguments: Any, output: Any) -> None:
                    if not isinstance(output, torch.Tensor):
                        kind = type(output).__name__
                        raise ModelFileError(f"module {name} gives out a {kind}, not a tensor")
                    kept[name] = output.float().numpy()

                return hook

            hooks = [parts[name].register_forward_hook(keep(name)) for name in names]
            try:
                with torch.no_grad():
                    self._call(chunk)
            finally:
                for hook in hooks:
                    hook.remove()
            if missing := set(names) - set(kept):
                raise ModelFileError(f"{self.path} never ran its module {brief(sorted(missing))}")
            return kept

        return run, inputs

    def _call(self, inputs: Inputs) -> None:
        """Runs the module. An unnamed input is its only one."""
        tensors = {
            name: torch.from_numpy(
                values.astype(np.float32) if values.dtype.kind == "f" else values
            )
            for name, values in inputs.items()
        }
        try:
            self.module(tensors[""]) if set(tensors) == {""} else self.module(**tensors)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, ModelFileError):
                raise
            first = str(error).splitlines()[0]
            raise InputError(f"{self.path} does not take these inputs ({first})") from None


def _imported(path: str) -> torch.nn.Module:
    where, _, name = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(where)
        for part in name.split("."):
            found = getattr(found, part)
        made = found if isinstance(found, torch.nn.Module) else found()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{path}: cannot be imported and made without arguments ({error})"
        ) from None
    if not isinstance(made, torch.nn.Module):
        raise ModelFileError(f"{path}: makes a {type(made).__name__}, not a torch.nn.Module")
    return made


class _Watch(TorchFunctionMode):
    """Notes which module made each tensor that torch.cat joins, and which module reads the join.

    ``found`` holds the names (x, y) of both modules.
    """

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._makers: dict[int, tuple[str, int]] = {}
        self._joined: dict[int, str] = {}
        self._alive: list[torch.Tensor] = []  # so that no identity is used twice
        self._calls = 0
        self._hooks = []
        for name, part in module.named_modules():
            if name:
                self._hooks.append(part.register_forward_pre_hook(self._reads(name)))
                self._hooks.append(part.register_forward_hook(self._makes(name)))

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.cat, torch.concat, torch.concatenate):
            made = [self._makers[id(part)] for part in args[0] if id(part) in self._makers]
            if made:
                # the oldest: whatever else is joined came by the longer path
                self._joined[id(result)] = min(made, key=lambda maker: maker[1])[0]
                self._alive.append(result)
        return result

    def _reads(self, name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, arguments: tuple) -> None:
            for value in arguments:
                if id(value) in self._joined:
                    self.found.append((self._joined.pop(id(value)), name))

        return hook

    def _makes(self, name: str) -> Callable[..., None]:
        def hook(module: torch.nn.Module, arguments: tuple, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                self._calls += 1
                # the outermost module that gives a tensor out stands for it
                self._makers[id(output)] = name, self._calls
                self._alive.append(output)

        return hook


def _first_convolution(module: torch.nn.Module, part: str) -> str | None:
    """Returns the name of the first convolution's weight within a part of a network."""
    for name, layer in module.get_submodule(part).named_modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size[0] > 1:
            return ".".join(filter(None, (part, name, "weight")))
    return None
