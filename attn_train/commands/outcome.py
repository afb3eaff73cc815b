"""What a finished run says of itself: the values of its result, and its pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from attn_train.build import Training
from attn_train.commands import calibrated, robustness
from attn_train.cost import counting
from attn_train.data.batches import TrainBatches
from attn_train.data.dataset import Split
from attn_train.data.record import DataRecord
from attn_train.machine import device as devices
from attn_train.machine.device import Device
from attn_train.machine.speed import Speed
from attn_train.runs import looking, pictures
from attn_train.runs.tracking import Tracker
from attn_train.settings import identity
from attn_train.settings.schema import Decided
from attn_train.training.inference import Evaluation, Evaluator, evaluate
from attn_train.training.memorisation import WrongLabels
from attn_train.training.trainer import Trainer
from attn_train.writing.best_effort import best_effort

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURED = 8  # test images whose attention is drawn


def described(decided: Decided, device: Device) -> dict[str, Any]:
    """Return what the run is, and where it was trained."""
    return {
        "model": decided.model["name"],
        "control": decided.control,
        "backbone": decided.backbone["name"],
        "dataset": decided.dataset.name,
        "seed": decided.seed,
        "epochs": decided.train.epochs,
        "device": device.kind,
        "precision": device.precision,
        "config_digest": identity.digest(asdict(decided)),
    }


def scored(final: Evaluation, decided: Decided, evaluate: Evaluator) -> dict[str, Any]:
    """Return how well it does: in its `final` test, and on validation images where there are some."""
    scores: dict[str, Any] = {
        "test_accuracy": final.accuracy,
        "correct": final.correct,
        "total": final.total,
        "test_loss": final.loss,
        **calibrated.scores(final),
    }
    if "val" in evaluate.splits:
        validated = evaluate("val", decided.eval.views, decided.dataset.image_size)
        scores |= {"val_accuracy": validated.accuracy, "val_total": validated.total}
        scores |= calibrated.scaled_scores(final, validated)
    return scores


def memorised(evaluate: Evaluator, wrong: WrongLabels | None, image_size: int) -> dict[str, Any]:
    """Return what the network has made of wrong labels, where training images have some."""
    if wrong is None:
        return {}
    memorisation = asdict(wrong.measure(evaluate("sample", 1, image_size)))
    return {"noise_share": wrong.share, "labels_digest": wrong.digest, **memorisation}


def corrupted(training: Training, tracker: Tracker) -> dict[str, float]:
    """Test the network on the test images made worse, where that was asked for; return the means over the fifteen
    corruptions."""
    decided, trainer, split = training.decided, training.trainer, training.splits["test"]
    if decided.eval.corruptions == "none":
        return {}
    device, views, normalization = trainer.device, decided.eval.views, training.batches.normalization

    def test(images: Split) -> Evaluation:
        there = Split(images.images.to(device.place), images.labels.to(device.place))
        side = decided.dataset.image_size
        return evaluate(trainer.tested, there, normalization, device, views, decided.eval.batch_size, side)

    subject = robustness.Subject(
        test,
        Split(split.images.cpu(), split.labels.cpu()),
        tracker.path.parent,
        trainer.progress.step,
        decided.dataset.name,
        training.dataset.classes,
        device.place,
        robustness.conditions("test", "last", views, device),
    )

    def show(figures: Mapping[str, "Figure"]) -> None:
        for tag, figure in figures.items():
            tracker.figure(tag, figure, subject.step)

    return robustness.evaluate_trained(subject, show)


def costs(trainer: Trainer, speed: Speed, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return what the network costs on images of `shape` (channels, height, width), and what its training took."""
    model, device = trainer.model, trainer.device
    return {
        "parameters": counting.count_parameters(model),
        "macs": counting.count_macs(model, shape),
        "attention_places": [list(place) for place in model.attention_places],
        "train_seconds": round(trainer.progress.train_seconds, 3),
        "compile_seconds": round(speed.compile_seconds, 3) if device.compile else 0.0,
        "images_per_second": round(speed.steady_rate, 1),
        "peak_memory_bytes": devices.peak_memory_bytes(device),
    }


def data_used(trained_on: Sequence[DataRecord]) -> dict[str, Any]:
    """Return the digest of the data that the run was trained on, and those of all where it went on with other data."""
    digests = [data.digest for data in trained_on]
    return {"data_digest": digests[-1]} | ({"data_digests": digests} if len(digests) > 1 else {})


def draw(
    tracker: Tracker,
    step: int,
    model: nn.Module,
    batches: TrainBatches,
    images: Tensor,
    final: Evaluation,
    classes: Sequence[str],
) -> None:
    """Write the run's last pictures, of the test `images` and their `final` test; what fails costs a warning."""
    logits, labels = final.logits, final.labels
    with best_effort() as attempt:
        with attempt("images/samples") as tag:
            tracker.image(tag, pictures.samples(batches), step)
        with attempt("images/misclassified") as tag:
            tracker.figure(tag, pictures.mistakes(images, logits, labels, classes), step)
        with attempt("images/confusion_matrix") as tag:
            tracker.figure(tag, pictures.confusion(logits, labels, classes), step)
        with attempt("images/reliability") as tag:
            tracker.figure(tag, pictures.reliability(final.calibration), step)
        with attempt("images/attention") as tag:
            captions = [pictures.label(classes[label]) for label in labels[:PICTURED].tolist()]
            attention = looking.attention_on(model, images[:PICTURED], batches.normalization, captions)
            if attention is not None:
                tracker.figure(tag, attention, step)
        with attempt("images/attention_channels") as tag:
            captions = [pictures.label(classes[label]) for label in labels[:PICTURED].tolist()]
            gates = looking.channels_on(model, images[:PICTURED], batches.normalization, captions)
            if gates is not None:
                tracker.figure(tag, gates, step)
