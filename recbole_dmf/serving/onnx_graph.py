"""DMF's user tower as an ONNX graph, built node by node: no exporter of torch is needed."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recbole_dmf.models.dmf import DMF, Tower
from recbole_dmf.models.gradients import NORM_EPSILON


class Graph:
    """Nodes and constants of an ONNX graph that is being built; each method returns a name.

    Args:
        library: the package `onnx`.
    """

    def __init__(self, library: Any):
        self.library = library
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: NDArray) -> str:
        self.constants.append(self.library.numpy_helper.from_array(value, name))
        return name

    def parameter(self, name: str, value: torch.Tensor) -> str:
        array = value.detach().cpu().float().numpy()
        return self.constant(name, np.ascontiguousarray(array))

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        made = self.library.helper.make_node(kind, inputs, [output], **attributes)
        self.nodes.append(made)
        return output


def user_tower_graph(model: DMF, library: Any):
    """The graph of `encode_users` over (items, ratings); inputs as `serving.export.onnx` says.

    Args:
        model: trained.
        library: the package `onnx`.
    """
    graph = Graph(library)
    tower = model.user_tower
    _normalised(graph, model, _upper_layers(graph, tower, _first_layer(graph, model)))
    helper, kinds = library.helper, library.TensorProto
    factors = tower.hidden[-1].out_features if len(tower.hidden) else tower.weight.shape[1]
    factors += model.popularity is not None
    inputs = [("items", kinds.INT64, "length"), ("ratings", kinds.FLOAT, "length")]
    if model.recent_items:
        inputs += [("latest", kinds.INT64, "n_latest"), ("weight", kinds.FLOAT, "n_latest")]
    return helper.make_graph(
        graph.nodes,
        "user_tower",
        [helper.make_tensor_value_info(name, kind, ["batch", n]) for name, kind, n in inputs],
        [helper.make_tensor_value_info("vector", kinds.FLOAT, ["batch", factors])],
        graph.constants,
    )


def _first_layer(graph: Graph, model: DMF) -> str:
    """l_1 of Eq. (5): the sum of the first weight's rows, weighted by the input row of Y."""
    tower, float_type = model.user_tower, graph.library.TensorProto.FLOAT
    value = "ratings"
    if not model.uses_ratings:
        zero = graph.constant("zero", np.array(0, np.float32))
        rated = graph.node("Greater", ["ratings", zero], "rated")
        value = graph.node("Cast", [rated], "ones", to=float_type)  # Eq. (1)
    last = graph.constant("last", np.array([2]))
    length = graph.constant("length", np.array([1]))

    def weighted_sum(weight: torch.Tensor, items: str, value: str) -> str:
        table = graph.parameter(f"weight_of_{items}", weight[1:])
        rows = graph.node("Gather", [table, items], f"rows_{items}")
        column = graph.node("Unsqueeze", [value, last], f"column_{items}")
        weighted = graph.node("Mul", [rows, column], f"weighted_{items}")
        return graph.node("ReduceSum", [weighted, length], f"sum_{items}", keepdims=0)

    h = weighted_sum(tower.weight, "items", value)
    if model.recent_items:
        recent = weighted_sum(model.recent_weight, "latest", "weight")
        h = graph.node("Add", [h, recent], "l_1")
    if tower.bias is not None:
        h = graph.node("Add", [h, graph.parameter("bias", tower.bias)], "l_1_with_bias")
    return h


def _upper_layers(graph: Graph, tower: Tower, h: str) -> str:
    """The other layers of Eq. (5) over l_1, each with its activation."""
    activations = [tower.first_activation]
    activations += [torch.relu] * (len(tower.hidden) - 1)
    activations += [tower.output_activation] * bool(len(tower.hidden))
    for n, activation in enumerate(activations):
        if n:
            layer: Any = tower.hidden[n - 1]
            w = graph.parameter(f"weight_{n}", layer.weight)
            b = graph.parameter(f"bias_{n}", layer.bias)
            h = graph.node("Gemm", [h, w, b], f"l_{n + 1}", transB=1)
        if activation is torch.relu:
            h = graph.node("Relu", [h], f"h_{n + 1}")
    return h


def _normalised(graph: Graph, model: DMF, h: str) -> str:
    """The output `vector`: h at length 1, unless the similarity is the inner product.

    Beside `popularity` it has one more entry, which is 1.
    """
    output = "vector" if model.popularity is None else "latent"
    h = _unit(graph, model, h, output)
    if model.popularity is None:
        return h
    pads = graph.constant("pads", np.array([0, 0, 0, 1]))
    one = graph.constant("one", np.array(1, np.float32))
    return graph.node("Pad", [h, pads, one], "vector")


def _unit(graph: Graph, model: DMF, h: str, output: str) -> str:
    if model.similarity == "dot":
        return graph.node("Identity", [h], output)
    norm = graph.node("ReduceL2", [h], "norm", axes=[1], keepdims=1)
    epsilon = graph.constant("epsilon", np.array(NORM_EPSILON, np.float32))
    size = graph.node("Max", [norm, epsilon], "length_of_h")
    return graph.node("Div", [h, size], output)  # Eq. (8)
