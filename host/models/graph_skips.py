# SPDX-License-Identifier: Apache-2.0
"""The skips of a network in its graph, found by where a short path meets a long one.

Nodes are named by the operations of ONNX, whatever the file is of. A joint is a Concat of feature
maps, one of which took at least :data:`SHORTEST_PATH` more convolutions than the other, or such an
Add whose longer path crosses an upsampling. (The Add of a residual block crosses none.) Its shorter
input is the encoder's side x of a skip. The decoder's side y is what the block behind the joint
gives out.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

SHORTEST_PATH = 2
"""Convolutions that the longer path into a joint has more than the shorter one."""
BLOCK_CONVOLUTIONS = 2
"""Convolutions of a block without a shortcut."""
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_UPSAMPLING = {"Resize", "Upsample", "ConvTranspose", "DepthToSpace"}
_POOLING = {"MaxPool", "AveragePool"}
_SHAPES_ONLY = {"Shape", "Size"}
"""Operations through which no feature passes."""


@dataclass(frozen=True)
class Skip:
    """A skip: two tensors of a graph, and the convolutions that stand for their blocks.

    Attributes
    ----------
    joint : name of the node that joins the two paths
    x, y : names of the tensors at the encoder's and the decoder's side
    layers : names of the weights of both sides' first convolution; None where none was found whose
        output channels are those of the tensor
    """

    joint: str
    x: str
    y: str
    layers: tuple[str | None, str | None] = (None, None)


@dataclass(frozen=True)
class Node:
    """An operation on tensors.

    Attributes
    ----------
    op_type : of ONNX, such as Conv
    name : of the node
    input, output : names of tensors, the weight of a convolution second
    stride : of a convolution
    """

    op_type: str
    name: str
    input: tuple[str, ...]
    output: tuple[str, ...]
    stride: int = 1


class Graph:
    """Paths of features through a graph.

    Parameters
    ----------
    nodes : sorted, so that each comes behind those whose outputs it takes
    weights : shapes of the trained tensors, by name
    inputs, outputs : names of the tensors that go into the network and come out
    shapes : of the other tensors, by name, as far as they are known; a size may be a word
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        weights: dict[str, tuple[int, ...]],
        inputs: Sequence[str],
        outputs: Iterable[str],
        shapes: dict[str, tuple[int | str, ...]],
    ):
        self.nodes, self.weights, self.inputs = nodes, weights, inputs
        self.outputs, self.shapes = set(outputs), shapes
        self._trace()

    @classmethod
    def of_onnx(cls, model: Any) -> "Graph":
        """Returns the graph of an onnx.ModelProto."""
        from onnx.shape_inference import infer_shapes

        graph = model.graph
        weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        inferred = infer_shapes(model).graph
        values = (*inferred.value_info, *inferred.input, *inferred.output)
        return cls(
            [_node(node) for node in graph.node],
            weights,
            [value.name for value in graph.input if value.name not in weights],
            [value.name for value in graph.output],
            {value.name: _shape(value) for value in values},
        )

    def _trace(self) -> None:
        """Follows features from the inputs: who makes a tensor, and its depth."""
        self.depth = dict.fromkeys(self.inputs, 0)
        """Convolutions on the longest path to every tensor that depends on an input."""
        self.upsamplings = dict.fromkeys(self.inputs, 0)
        self.maker: dict[str, Node] = {}
        self.users: Counter[str] = Counter()
        for node in self.nodes:
            sources = self.features(node)
            if not sources or node.op_type in _SHAPES_ONLY:
                continue
            self.users.update(sources)
            depth = max(self.depth[name] for name in sources) + (node.op_type in _WEIGHTED)
            ups = max(self.upsamplings[name] for name in sources)
            for name in node.output:
                self.depth[name] = depth
                self.upsamplings[name] = ups + (node.op_type in _UPSAMPLING)
                self.maker[name] = node

    def features(self, node: Node) -> list[str]:
        """Returns the inputs of a node that depend on an input of the graph, each once."""
        return [name for name in dict.fromkeys(node.input) if name in self.depth]

    def channels(self, name: str) -> int | None:
        """Returns the channels of a tensor (n, channels, ...), None if unknown."""
        shape = self.shapes.get(name, ())
        return shape[1] if len(shape) > 2 and isinstance(shape[1], int) else None

    @cached_property
    def joints(self) -> dict[str, Node]:
        """The nodes at which a skip ends, by their first output."""
        return {node.output[0]: node for node in self.nodes if self._joins(node)}

    def _joins(self, node: Node) -> bool:
        sources = self.features(node)
        if node.op_type not in ("Concat", "Add") or len(sources) < 2:
            return False
        short, long = self._ends(node)
        if self.channels(short) is None or self.channels(long) is None:
            return False
        if self.depth[long] - self.depth[short] < SHORTEST_PATH:
            return False
        if node.op_type == "Concat":
            return True
        return self._alike(short, long) and self.upsamplings[long] > self.upsamplings[short]

    def _alike(self, name: str, other: str) -> bool:
        """Whether two tensors are maps of the same shape, as far as their shapes are known."""
        pairs = zip(self.shapes[name], self.shapes[other], strict=False)
        return (
            len(self.shapes[name]) == len(self.shapes[other])
            and self._is_map(name)
            and all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))
        )

    def _ends(self, node: Node) -> tuple[str, str]:
        """Returns the inputs of a joint with the shortest and the longest path."""
        ordered = sorted(self.features(node), key=self.depth.__getitem__)
        return ordered[0], ordered[-1]

    def skips(self) -> list[Skip]:
        """Returns all skips, the innermost first."""
        found = []
        for output, node in self.joints.items():
            x = self._ends(node)[0]
            y, decoder = self._block_after(output)
            if y == output:  # no block reads it, as when a network adds its input to its output
                continue
            found.append(Skip(node.name or output, x, y, (self._encoder_layer(x), decoder)))
        return found

    def _block_after(self, joint: str) -> tuple[str, str | None]:
        """Returns what the block behind a joint gives out, and the weight of its first convolution.

        Outputs of a block are tensors that every path from the joint passes. The block ends where a
        shortcut ends, else after :data:`BLOCK_CONVOLUTIONS` convolutions, and in any case before
        the next joint, a change of resolution, and an output of the graph.
        """
        end, first, convolutions = joint, None, 0
        for node, single in self._passing(joint):
            is_weighted = node.op_type in _WEIGHTED
            convolutions += is_weighted
            if (
                node.output[0] in self.joints
                or node.op_type in _UPSAMPLING | _POOLING
                or node.output[0] in self.outputs
            ):
                break
            if first is None and (weight := self._square_weight(node)):
                first = weight
            if single is None:
                continue
            merges = len([name for name in self.features(node) if name != joint]) > 1
            if convolutions > BLOCK_CONVOLUTIONS and not merges:
                break
            end = single
            if merges and convolutions:
                break
        return end, self._of_width(first, end)

    def _passing(self, start: str) -> Iterator[tuple[Node, str | None]]:
        """Gives every node behind a tensor, and its output if all paths from there pass it."""
        waiting = {start: self.users[start]}
        reached = {start}
        for node in self.nodes:
            sources = [name for name in self.features(node) if name in reached]
            if not sources or node.op_type in _SHAPES_ONLY:
                continue
            for name in sources:
                waiting[name] -= 1
                if not waiting[name]:
                    del waiting[name]
            for name in node.output:
                if self.users[name] or name in self.outputs:
                    reached.add(name)
                    waiting[name] = self.users[name] + (name in self.outputs)
            yield node, node.output[0] if set(waiting) == {node.output[0]} else None

    def _encoder_layer(self, x: str) -> str | None:
        """Returns the weight of the first convolution of the block that gives out ``x``."""
        found: list[str] = []
        name = x
        while name in self.maker and len(found) < BLOCK_CONVOLUTIONS:
            node = self.maker[name]
            resamples = node.op_type in _UPSAMPLING | _POOLING
            if found and (resamples or name in self.joints):
                break
            if (weight := self._square_weight(node)) is not None:
                if self._of_width(weight, x) is None:
                    break
                found.append(weight)
                if node.stride > 1:
                    break
            name = max(self.features(node), key=lambda name: (self._is_map(name), self.depth[name]))
        return found[-1] if found else None

    def _is_map(self, name: str) -> bool:
        """Whether a tensor has more than one pixel, unlike an embedding that is added to it."""
        return any(size != 1 for size in self.shapes.get(name, ())[2:])

    def _square_weight(self, node: Node) -> str | None:
        """Returns the weight of a convolution of more than one pixel, None for another node."""
        if node.op_type != "Conv" or len(node.input) < 2:
            return None
        shape = self.weights.get(node.input[1], ())
        return node.input[1] if len(shape) == 4 and shape[2] > 1 else None

    def _of_width(self, weight: str | None, tensor: str) -> str | None:
        """Returns the weight if its output channels are those of the tensor."""
        fits = weight is not None and self.weights[weight][0] == self.channels(tensor)
        return weight if fits else None


def _shape(value: Any) -> tuple[int | str, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dimensions)


def _node(node: Any) -> Node:
    """Returns an onnx.NodeProto as a node."""
    strides = next((a.ints[0] for a in node.attribute if a.name == "strides" and a.ints), 1)
    return Node(node.op_type, node.name, tuple(node.input), tuple(node.output), strides)
