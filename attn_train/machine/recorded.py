"""CUDA graphs: a training step is recorded once for each shape of its batch, and then replayed.

A step of a small network is some four hundred short kernels. Python launches them one by one, more slowly than a GPU
runs them; a recording launches them all at once.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from attn_train.errors import ConfigError, expected

# images, targets, weights -> mean loss, number correct, each image's loss; see training.step
Step = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor]]

# Steps before a recording: in them kernels are chosen, compiled and loaded and the optimizer's state is made, which
# cannot be recorded.
STEPS_BEFORE = 2


@dataclass(frozen=True)
class Recording:
    """A recorded step and the memory that it reads from and writes to."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]  # what a replay reads: each batch is copied into them
    counted: Tensor  # float32 (2,): the mean loss, the number correct
    image_losses: Tensor  # float32 (batch,), until the next replay

    def replay(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Take the step on a batch; return its mean loss, the number correct, and each image's loss."""
        torch._foreach_copy_(self.inputs, inputs)
        self.graph.replay()
        loss, correct = self.counted.clone()
        return loss, correct, self.image_losses


@cache
def recording_stream(place: torch.device) -> torch.cuda.Stream:
    """Return the stream that every run of this process records on: libraries keep work space for each stream."""
    return torch.cuda.Stream(place)


class RecordedStep:
    """Call `step`, which trains `model` by `optimizer`; from the third batch of a shape on, replay a recording of it.

    There is a recording for each set of a batch's shapes and types. When the size of the images or the set of
    parameters that learn changes, all are dropped, for each holds the memory of a whole step. A replay reads the
    learning rates; whatever else Python decides in a step is decided once, when it is recorded.
    """

    def __init__(self, step: Step, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.step, self.optimizer = step, optimizer
        self.parameters = list(model.parameters())
        place = self.parameters[0].device
        self.stream = recording_stream(place)
        self.rates = [torch.zeros((), device=place) for _ in optimizer.param_groups]
        self.phase: object = None
        self.recordings: dict[object, Recording] = {}
        self.taken: Counter[object] = Counter()
        for state in optimizer.state.values():
            if "step" in state:  # Adam's, of a run that began before
                state["step"] = state["step"].to(place)

    def __call__(self, images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        inputs = [images, targets] if weights is None else [images, targets, weights]
        phase = images.shape[1:], [parameter.requires_grad for parameter in self.parameters]
        if phase != self.phase:
            self.recordings.clear()
            self.taken.clear()
            self.phase, self.pool = phase, torch.cuda.graph_pool_handle()
        key = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        if key not in self.recordings:
            if self.taken[key] < STEPS_BEFORE:
                self.taken[key] += 1
                return self.run(images, targets, weights)
            self.recordings[key] = self.record(inputs)
        return self.recordings[key].replay(inputs)

    def run(self, images: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Take the step unrecorded, but on the stream of the recordings: autograd remembers streams."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream), self.rates_in_memory():
            outcome = self.step(images, targets, weights)
        current.wait_stream(self.stream)
        return outcome

    def record(self, inputs: list[Tensor]) -> Recording:
        """Record the step; nothing is trained by that."""
        buffers = [torch.empty_like(tensor) for tensor in inputs]
        current = torch.cuda.current_stream()
        graph = torch.cuda.CUDAGraph()
        try:
            with self.rates_in_memory(), torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
                images, targets, *weights = buffers
                loss, correct, image_losses = self.step(images, targets, weights[0] if weights else None)
                counted = torch.stack([loss, correct])
        except RuntimeError as error:
            torch.cuda.set_stream(current)  # a recording that fails may leave its own stream set
            cause = error.__context__ or error  # the error inside, after which the end of the recording fails too
            failure = expected(cause) or expected(error)
            raise failure or ConfigError(
                f"device.cuda_graphs: a step of this network cannot be recorded ({str(cause).splitlines()[0]}); "
                "say device.cuda_graphs=false"
            ) from error
        return Recording(graph, buffers, counted, image_losses)

    @contextmanager
    def rates_in_memory(self) -> Iterator[None]:
        """Let the optimizer keep its learning rates and counters in the device's memory, where a replay reads them."""
        before = [dict(group) for group in self.optimizer.param_groups]
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
            if "capturable" in group:  # torch's Adam and AdamW
                group["capturable"] = True
            elif "fused" in group:  # torch's SGD, which would otherwise copy the rate to the CPU
                group["fused"], group["foreach"] = True, False
        try:
            yield
        finally:
            for group, values in zip(self.optimizer.param_groups, before, strict=True):
                group.update(values)
