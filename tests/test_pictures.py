"""The figures: what they count, whom they pick, where they look, and that they can be drawn."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn

from attn_train.attention.gated import GatedConv
from attn_train.attention.identity import Identity
from attn_train.attention.se import SqueezeExcitation
from attn_train.attention.self_attention import SelfAttention
from attn_train.data.batches import Normalization
from attn_train.runs import looking, pictures
from attn_train.statistics.calibration import assess
from attn_train.training.grad_cam import agreement, grad_cam, shuffled

CLASSES = ("ant", "bee", "cat", "dog")


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def images(count: int, channels: int = 3) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, 6, 6), generator=random).to(torch.uint8)


def pixels(figure: Figure) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def captions(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts if not text.get_rotation()]


def test_confusion_is_counted_as_scikit_learn_counts_it() -> None:
    random = torch.Generator().manual_seed(2)
    labels, predicted = (torch.randint(0, 4, (300,), generator=random) for _ in range(2))
    found = pictures.confusion_counts(predicted, labels, 4)
    np.testing.assert_array_equal(found.numpy(), confusion_matrix(labels, predicted))
    # A class that never occurs has its row and column all the same.
    found = pictures.confusion_counts(torch.tensor([0, 1]), torch.tensor([1, 1]), 4)
    np.testing.assert_array_equal(found.numpy(), confusion_matrix([1, 1], [0, 1], labels=range(4)))


def test_the_confusion_figure_writes_the_counts_and_shows_shares_of_a_row() -> None:
    labels = torch.tensor([0, 0, 0, 1, 3])
    logits = F.one_hot(torch.tensor([0, 0, 2, 1, 1]), 4).float()
    figure = pictures.confusion(logits, labels, CLASSES)
    (axis,) = figure.axes
    shares = np.asarray(axis.images[0].get_array())
    expected = np.array([[2 / 3, 0, 1 / 3, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_allclose(shares, expected, rtol=1e-6)
    written = {(text.get_position()[::-1], text.get_text()) for text in axis.texts}
    assert written == {((0, 0), "2"), ((0, 2), "1"), ((1, 1), "1"), ((3, 1), "1")}
    assert [text.get_text() for text in axis.get_yticklabels()] == list(CLASSES)
    assert pixels(figure).std() > 0


def test_many_classes_are_drawn_without_counts() -> None:
    names = [f"class {number}" for number in range(30)]
    figure = pictures.confusion(noise(50, 30), torch.arange(50) % 30, names)
    assert not figure.axes[0].texts
    assert pixels(figure).std() > 0


def test_the_reliability_diagram_has_the_bins_that_hold_images() -> None:
    """Confidences of 0.7, half of them right, and of 0.95, all right."""
    confidence, right = np.array([0.7] * 10 + [0.95] * 4), [True, False] * 5 + [True] * 4
    logits = np.log(np.stack([confidence, 1 - confidence], axis=1))
    figure = pictures.reliability(assess(logits, np.where(right, 0, 1)))
    above, below = figure.axes
    accuracy, gap = ([(bar.get_y(), bar.get_height()) for bar in bars] for bars in above.containers)
    np.testing.assert_allclose(accuracy, [(0, 0.5), (0, 1)])
    np.testing.assert_allclose(gap, [(0.5, 0.2), (1, -0.05)])
    lefts = [bar.get_x() for bar in above.containers[0]]
    np.testing.assert_allclose(lefts, [10 / 15, 14 / 15])
    assert [bar.get_height() for bar in below.containers[0]] == [10, 4]
    ece = (10 * 0.2 + 4 * 0.05) / 14
    assert above.get_title() == f"ECE {ece:.4f}, over-confident by {(10 * 0.2 - 4 * 0.05) / 14:.4f}"
    assert pixels(figure).std() > 0


def test_mistakes_are_the_surest_wrong_answers_in_order() -> None:
    probabilities = torch.tensor(
        [
            [0.97, 0.01, 0.01, 0.01],  # right, and surest of all
            [0.10, 0.70, 0.10, 0.10],  # wrong
            [0.05, 0.02, 0.90, 0.03],  # wrong
            [0.30, 0.25, 0.25, 0.20],  # wrong, hardly sure
            [0.10, 0.10, 0.20, 0.60],  # right
        ]
    )
    labels = torch.tensor([0, 0, 1, 2, 3])
    figure = pictures.mistakes(images(5), probabilities.log(), labels, CLASSES)
    assert captions(figure) == ["cat 90 %\nis bee", "bee 70 %\nis ant", "ant 30 %\nis cat"]
    shown = [image.get_array() for image in figure.axes[0].images]
    for picture, number in zip(shown, (2, 1, 3), strict=True):
        np.testing.assert_array_equal(picture, images(5)[number].permute(1, 2, 0))
    assert captions(pictures.mistakes(images(5), probabilities.log(), labels, CLASSES, count=1)) == ["cat 90 %\nis bee"]
    assert pixels(figure).std() > 0


def test_a_model_without_mistakes_has_an_empty_figure() -> None:
    labels = torch.tensor([0, 1, 2])
    figure = pictures.mistakes(images(3), F.one_hot(labels, 4).float(), labels, CLASSES)
    assert captions(figure) == []
    pixels(figure)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_image_becomes_rgb(channels: int) -> None:
    given = images(2, channels)
    found = pictures.to_rgb(given)
    assert found.shape == (2, 3, 6, 6)
    for channel in range(3):
        assert torch.equal(found[:, channel], given[:, min(channel, channels - 1)])


def test_spread_stretches_each_map_to_the_whole_range() -> None:
    maps = torch.stack([noise(6, 6), 1e-4 * noise(6, 6).abs() + 5])
    same_size = looking.spread(maps, (6, 6))
    for found, given in zip(same_size, maps, strict=True):
        assert (found.min(), found.max()) == (0, 1)
        torch.testing.assert_close(found, (given - given.min()) / (given.max() - given.min()))
    larger = looking.spread(maps, (13, 17))
    assert larger.shape == (2, 13, 17)
    assert larger.min() >= 0
    assert larger.max() <= 1
    assert not looking.spread(torch.full((1, 3, 3), 0.7), (6, 6)).any()


class Looking(nn.Module):
    """Two mechanisms that look, one that does not."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = GatedConv(channels, size=(6, 6))
        self.plain = Identity(channels, size=(6, 6))
        self.pool = nn.MaxPool2d(2)
        self.second = SelfAttention(channels, size=(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.pool(self.plain(self.first(x)))).mean(dim=(2, 3))


def test_attention_maps_are_those_of_each_mechanism_on_its_own_input() -> None:
    torch.manual_seed(0)
    model, x = Looking(3), noise(2, 3, 6, 6)
    found = looking.attention_maps(model, x)
    assert list(found) == ["first", "second"]
    torch.testing.assert_close(found["first"], model.first.attention_map(x))
    torch.testing.assert_close(found["second"], model.second.attention_map(model.pool(model.first(x))))
    assert not any(value.requires_grad for value in found.values())
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 3])
def test_attention_is_drawn_below_each_image(channels: int, count: int) -> None:
    torch.manual_seed(0)
    normalization = Normalization(torch.full((channels,), 0.5), torch.full((channels,), 0.25))
    names: Sequence[str] = CLASSES[:count]
    figure = looking.attention_on(Looking(channels), images(count, channels), normalization, names)
    assert figure is not None
    # The images, two mechanisms, Grad-CAM of the network and of its shuffled copy.
    assert len(figure.axes[0].images) == 5 * count
    assert captions(figure) == list(names)
    assert pixels(figure).std() > 0


def test_a_model_without_any_map_has_no_such_figure() -> None:
    normalization = Normalization(torch.full((3,), 0.5), torch.full((3,), 0.25))
    assert looking.attention_on(nn.Sequential(nn.Flatten()), images(2), normalization, CLASSES[:2]) is None
    assert looking.channels_on(Looking(3), images(2), normalization, CLASSES[:2]) is None


def test_gates_by_channel_are_drawn_image_by_image() -> None:
    torch.manual_seed(0)
    gate = SqueezeExcitation(8, size=(6, 6))
    model = nn.Sequential(gate, GatedConv(8, size=(6, 6)), nn.Flatten())
    x = noise(3, 8, 6, 6)
    found = looking.channel_gates(model, x)
    assert list(found) == ["0"]
    torch.testing.assert_close(found["0"], gate.gate(x).flatten(1).detach())
    figure = looking.channels_figure(found, CLASSES[:3])
    shown = figure.axes[0].images[0].get_array()
    assert shown is not None
    assert shown.shape == (3, 8)
    assert (np.diff(shown.mean(axis=0)) <= 0).all()


class Spot(nn.Module):
    """A network whose logits are sums of its two channels over the map."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Identity()
        self.last = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.map(x).sum(dim=(2, 3)))


def test_grad_cam_is_the_papers() -> None:
    """Of a network that is linear after its map the gradient is known."""
    torch.manual_seed(0)
    model, x = Spot(), noise(4, 2, 5, 7).float()
    found = grad_cam(model, x.clone())
    said = model(x).argmax(dim=1)
    weights = model.last.weight[said].detach()  # of each channel, the same at each place
    assert found is not None
    torch.testing.assert_close(found, (weights[:, :, None, None] * x).sum(dim=1).relu())
    assert not any(part._forward_hooks for part in model.modules())


def test_a_shuffled_copy_has_the_same_numbers_in_other_places() -> None:
    model = nn.Conv2d(8, 8, 3)
    before = model.weight.clone()
    copy = shuffled(model)
    assert isinstance(copy, nn.Conv2d)
    assert torch.equal(model.weight, before)
    assert not torch.equal(copy.weight, before)
    assert torch.equal(copy.weight.flatten().sort().values, before.flatten().sort().values)


def test_agreement_is_of_ranks() -> None:
    maps = noise(3, 4, 4)
    assert agreement(maps, maps.exp()) == pytest.approx(1)
    assert agreement(maps, -maps) == pytest.approx(-1)
    assert np.isnan(agreement(maps, torch.zeros_like(maps)))
